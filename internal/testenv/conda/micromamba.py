"""A stand-in for micromamba, for tests. This is NOT micromamba.

It has the part of micromamba's command line that is listed below over py-rattler, which is a real conda solver,
package cache and installer. It exists because no conda, mamba or micromamba binary is in the package registries
that the tests may use. What it does not know it refuses.

    micromamba --version
    micromamba create  [-y] [-q] [-p PREFIX | -n NAME] [-c CHANNEL]... [--override-channels] [-f FILE]... [SPEC]...
    micromamba install (the same, into an environment that is there)
    micromamba run     [-p PREFIX | -n NAME] [--cwd DIR] [-e VAR=VALUE]... COMMAND [ARG]...
    micromamba list    [-p PREFIX | -n NAME] [--json]
    micromamba env export [-p PREFIX | -n NAME] [--json] [--explicit | --no-build]

FILE is an environment's YAML (with a pip section or without), a list of specs, or an @EXPLICIT list of addresses.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

VERSION = "2.0.5"  # of the command line that is imitated


def fail(message):
    print(f"critical libmamba {message}", file=sys.stderr)
    sys.exit(1)


def root_prefix():
    return pathlib.Path(os.environ.get("MAMBA_ROOT_PREFIX") or pathlib.Path.home() / ".local/share/mamba")


def target_prefix(args):
    if args.prefix:
        return pathlib.Path(args.prefix).expanduser().absolute()
    if args.name:
        return root_prefix() / "envs" / args.name
    if os.environ.get("CONDA_PREFIX"):
        return pathlib.Path(os.environ["CONDA_PREFIX"])
    fail("No target prefix specified")


def existing_prefix(args):
    prefix = target_prefix(args)
    if not (prefix / "conda-meta").is_dir():
        fail(f"The given prefix does not exist: \"{prefix}\"")
    return prefix


class Wanted:
    """What is asked for, on the command line and in files."""

    def __init__(self, args):
        self.specs, self.channels, self.pip, self.explicit = list(args.specs), list(args.channel), [], []
        for name in args.file:
            path = pathlib.Path(name)
            if not path.is_file():
                fail(f"File does not exist: \"{name}\"")
            (self._read_yaml if path.suffix in (".yml", ".yaml") else self._read_lines)(path)
        if not self.channels and not args.override_channels:
            self.channels = ["conda-forge"]

    def _read_yaml(self, path):
        import yaml

        try:
            content = yaml.safe_load(path.read_text()) or {}
        except yaml.YAMLError as error:
            fail(f"Error parsing {path}: {error}")
        self.channels += [c for c in content.get("channels") or [] if c != "nodefaults"]
        for dependency in content.get("dependencies") or []:
            if isinstance(dependency, dict):
                self.pip += dependency.get("pip") or []
            else:
                self.specs.append(dependency)

    def _read_lines(self, path):
        lines = [line.strip() for line in path.read_text().splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if "@EXPLICIT" in lines:
            self.explicit += [line for line in lines if line != "@EXPLICIT"]
        else:
            self.specs += lines


async def explicit_records(lines):
    """The records of packages given by address: looked up in the repodata of their own channels."""
    import rattler

    gateway, records = rattler.Gateway(), []
    for line in lines:
        url, _, digest = line.partition("#")
        channel, subdir, file = url.rsplit("/", 2)
        name = re.match(r"(.+)-[^-]+-[^-]+$", file).group(1)
        answer = await gateway.query([channel], [subdir], [name], recursive=False)
        found = [r for records in answer for r in records if r.url == url]
        if not found:
            fail(f"Could not find {url}")
        digests = [d.hex() for d in (found[0].md5, found[0].sha256) if d]
        if digest and digest.removeprefix("sha256:") not in digests:
            fail(f"Digest of {url} is not {digest}")
        records.append(found[0])
    return records


async def put_in(prefix, wanted, installed):
    import rattler
    from rattler.exceptions import SolverError

    try:
        if wanted.explicit:
            records = await explicit_records(wanted.explicit)
        else:
            records = await rattler.solve(
                wanted.channels, wanted.specs, locked_packages=installed,
                virtual_packages=rattler.VirtualPackage.detect(), add_pip_as_python_dependency=True)
    except SolverError as error:
        print(f"error    libmamba Could not solve for environment specs\n{error}", file=sys.stderr)
        fail("Could not solve for environment specs")
    cache = os.environ.get("CONDA_PKGS_DIRS", "").split(",")[0] or root_prefix() / "pkgs"
    prefix.mkdir(parents=True, exist_ok=True)
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False)
    return records


def put(args, replace):
    wanted = Wanted(args)
    if replace:
        prefix = target_prefix(args)
        if (prefix / "conda-meta").is_dir():
            shutil.rmtree(prefix)
        elif prefix.exists() and any(prefix.iterdir()):
            fail(f"Non-conda folder exists at prefix: \"{prefix}\"")
    else:
        prefix = existing_prefix(args)
    say = (lambda *_: None) if args.quiet else print
    say(f"Transaction\n\n  Prefix: {prefix}\n")
    for record in asyncio.run(put_in(prefix, wanted, installed_in(prefix))):
        say(f"  + {record.name.normalized}  {record.version}  {record.build}")
    (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
    with open(prefix / "conda-meta/history", "a") as history:
        history.write("".join(f"# update specs: {json.dumps(wanted.specs)}\n"))
    if wanted.pip:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write("\n".join(wanted.pip) + "\n")
            requirements.flush()
            code = subprocess.call([prefix / "bin/python", "-m", "pip", "install", "-U", "-r", requirements.name, "--no-input", "--quiet"], env=activated(prefix))
        if code:
            fail("pip failed to install packages")
    say("Transaction finished")


def installed_in(prefix):
    import rattler

    return [rattler.PrefixRecord.from_path(path) for path in sorted((prefix / "conda-meta").glob("*.json"))]


def activated(prefix):
    path = f"{prefix / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return os.environ | {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": prefix.name, "PATH": path}


def run(args):
    prefix = existing_prefix(args)
    environment = activated(prefix) | dict(variable.split("=", 1) for variable in args.env)
    if not args.command:
        fail("Did not receive any command to run inside environment")
    if args.cwd:
        os.chdir(args.cwd)
    try:
        os.execvpe(args.command[0], args.command, environment)
    except FileNotFoundError:
        fail(f"The following command could not be found: {args.command[0]}")


def list_packages(args):
    prefix = existing_prefix(args)
    rows = [{
        "base_url": r.channel, "build_number": r.build_number, "build_string": str(r.build), "channel": r.channel,
        "dist_name": f"{r.name.normalized}-{r.version}-{r.build}", "name": r.name.normalized, "platform": r.subdir, "version": str(r.version),
    } for r in installed_in(prefix)]
    if args.json:
        print(json.dumps(rows, indent=4))
        return
    print(f"List of packages in environment: \"{prefix}\"\n\n  Name  Version  Build  Channel\n")
    for row in rows:
        print(f"  {row['name']}  {row['version']}  {row['build_string']}  {row['channel']}")


def export(args):
    prefix = existing_prefix(args)
    records = installed_in(prefix)
    if args.explicit:
        print("# This file may be used to create an environment using:\n# $ conda create --name <env> --file <this file>\n@EXPLICIT")
        for r in records:
            print(f"{r.url}#{r.md5.hex()}")
        return
    content = {
        "name": prefix.name,
        "channels": sorted({r.channel for r in records}),
        "dependencies": [f"{r.name.normalized}={r.version}" + ("" if args.no_build else f"={r.build}") for r in records],
    }
    if args.json:
        print(json.dumps(content, indent=4))
        return
    print(f"name: {content['name']}")
    for key in ("channels", "dependencies"):
        print(f"{key}:")
        for value in content[key]:
            print(f"- {value}")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"{message}\nRun with --help for more information.", file=sys.stderr)
        sys.exit(109)


def parser():
    top = Parser(prog="micromamba", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"{VERSION}+standin.rattler.{importlib.metadata.version('py-rattler')}")
    commands = top.add_subparsers(required=True, parser_class=Parser)

    def command(parent, name, do):
        sub = parent.add_parser(name, allow_abbrev=False)
        sub.set_defaults(do=do)
        where = sub.add_mutually_exclusive_group()
        where.add_argument("-p", "--prefix")
        where.add_argument("-n", "--name")
        sub.add_argument("--no-rc", action="store_true")  # there are none here
        sub.add_argument("-q", "--quiet", action="store_true")
        return sub

    for name, replace in (("create", True), ("install", False)):
        sub = command(commands, name, lambda args, replace=replace: put(args, replace))
        sub.add_argument("-y", "--yes", action="store_true")  # it never asks
        sub.add_argument("-c", "--channel", action="append", default=[])
        sub.add_argument("--override-channels", action="store_true")
        sub.add_argument("-f", "--file", action="append", default=[])
        sub.add_argument("specs", nargs="*")
    sub = command(commands, "run", run)
    sub.add_argument("--cwd")
    sub.add_argument("-e", "--env", action="append", default=[])
    sub.add_argument("command", nargs=argparse.REMAINDER)
    command(commands, "list", list_packages).add_argument("--json", action="store_true")
    env = commands.add_parser("env").add_subparsers(required=True, parser_class=Parser)
    sub = command(env, "export", export)
    sub.add_argument("--json", action="store_true")
    sub.add_argument("--explicit", action="store_true")
    sub.add_argument("--no-build", "--no-builds", action="store_true")
    return top


if __name__ == "__main__":
    arguments = parser().parse_args()
    try:
        arguments.do(arguments)
        code = 0
    except SystemExit as end:
        code = end.code
    except Exception as error:  # rattler's own have no common ancestor
        print(f"critical libmamba {type(error).__name__}: {error}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # py-rattler's threads may still run, and abort an interpreter that ends tidily
