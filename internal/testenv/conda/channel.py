"""Makes a small local conda channel: channel.py DIRECTORY

python        the interpreter that runs this file, out of its own tree
pip           noarch, this environment's own
runner-tool   1.0 and 2.0, a command whose text holds the prefix it is installed in
runner-lib    1.0 and 2.0, noarch Python; 1.0 wants runner-tool below 2, 2.0 wants 2 or later
"""

import asyncio
import hashlib
import io
import json
import os
import pathlib
import platform
import stat
import sys
import sysconfig
import tarfile

import rattler.index

SUBDIR = {"x86_64": "linux-64", "aarch64": "linux-aarch64", "arm64": "osx-arm64"}[platform.machine()]
PLACEHOLDER = "/opt/placeholder_" + "placehold_" * 12
SITE_PACKAGES = "site-packages"
NOT_IN_PYTHON = {
    "__pycache__", "dist-packages", "site-packages", "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo",
    "EXTERNALLY-MANAGED", "sitecustomize.py",
}


class Package:
    """One conda package in the making: files by their path in the prefix."""

    def __init__(self, name, version, depends=(), noarch=False, entry_points=()):
        self.name, self.version, self.depends = name, version, list(depends)
        self.noarch, self.entry_points = noarch, list(entry_points)
        self.files = {}  # path -> (content, mode, has the placeholder)

    def add(self, path, content, mode=0o644, placeholder=False):
        self.files[path] = (content, mode, placeholder)

    def add_tree(self, source, target, skip=frozenset()):
        for entry in sorted(source.iterdir()):
            if entry.name in skip or (entry.is_dir() and entry.name.startswith("config-")):
                continue
            if entry.is_dir():
                self.add_tree(entry, f"{target}/{entry.name}", skip)
            else:
                mode = 0o755 if os.access(entry, os.X_OK) else 0o644
                self.add(f"{target}/{entry.name}", entry.read_bytes(), mode)

    def write(self, channel):
        build = ("py" if self.noarch else "h") + "_0"
        index = {
            "name": self.name, "version": self.version, "build": build, "build_number": 0, "depends": self.depends,
            "subdir": "noarch" if self.noarch else SUBDIR, "license": "test", "timestamp": 1700000000000,
        }
        paths = []
        for path, (content, _, placeholder) in sorted(self.files.items()):
            entry = {"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(content).hexdigest(), "size_in_bytes": len(content)}
            if placeholder:
                entry |= {"file_mode": "text", "prefix_placeholder": PLACEHOLDER}
            paths.append(entry)
        info = {"info/index.json": index, "info/paths.json": {"paths": paths, "paths_version": 1}}
        if self.noarch:
            index["noarch"] = "python"
            info["info/link.json"] = {"noarch": {"type": "python", "entry_points": self.entry_points}, "package_metadata_version": 1}
        folder = channel / index["subdir"]
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(folder / f"{self.name}-{self.version}-{build}.tar.bz2", "w:bz2", compresslevel=1) as archive:
            for path, content in info.items():
                self._store(archive, path, json.dumps(content).encode(), 0o644)
            for path, (content, mode, _) in sorted(self.files.items()):
                self._store(archive, path, content, mode)

    @staticmethod
    def _store(archive, path, content, mode):
        member = tarfile.TarInfo(path)
        member.size, member.mode, member.mtime = len(content), stat.S_IMODE(mode), 1700000000
        archive.addfile(member, io.BytesIO(content))


def python_package():
    package = Package("python", platform.python_version())
    short = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    binary = pathlib.Path(sys._base_executable).resolve().read_bytes()
    for name in ("python", "python3", short):
        package.add(f"bin/{name}", binary, 0o755)
    stdlib = pathlib.Path(sysconfig.get_path("stdlib"))
    package.add_tree(stdlib, f"lib/{short}", NOT_IN_PYTHON)
    shared = pathlib.Path(sys.base_prefix, "lib", sysconfig.get_config_var("LDLIBRARY") or "")
    if ".so" in shared.name and shared.exists():
        real = shared.resolve()
        package.add(f"lib/{real.name}", real.read_bytes(), 0o755)
    # Debian's Python keeps its packages elsewhere than everybody's; one in a prefix of its own must not. Its site
    # module is frozen into the binary, so what it leaves out is added after it.
    if b"dist-packages" in package.files[f"lib/{short}/site.py"][0]:
        scheme = f"lib/{short}/sysconfig.py"
        content, mode, _ = package.files[scheme]
        package.add(scheme, content.replace(b"prefix_scheme = 'posix_local'", b"prefix_scheme = 'posix_prefix'"), mode)
        package.add(f"lib/{short}/sitecustomize.py", (
            "import site\nimport sys\n\nif sys.prefix == sys.base_prefix:\n"
            f"    site.addsitedir(f\"{{sys.prefix}}/lib/{short}/{SITE_PACKAGES}\")\n").encode())
    package.add(f"lib/{short}/{SITE_PACKAGES}/README.txt", b"Third-party packages go here.\n")
    return package


def pip_package():
    import pip

    package = Package("pip", pip.__version__, ["python >=3"], noarch=True, entry_points=["pip = pip._internal.cli.main:main", "pip3 = pip._internal.cli.main:main"])
    folder = pathlib.Path(pip.__file__).parent
    for source in (folder, *folder.parent.glob(f"pip-{pip.__version__}.dist-info")):
        package.add_tree(source, f"{SITE_PACKAGES}/{source.name}", {"__pycache__"})
    return package


def tool_package(version):
    package = Package("runner-tool", version)
    text = f'#!/bin/sh\n# Installed in {PLACEHOLDER}\necho "runner-tool {version} in {PLACEHOLDER}"\n'
    package.add("bin/runner-tool", text.encode(), 0o755, placeholder=True)
    return package


def lib_package(version, tool):
    package = Package("runner-lib", version, ["python >=3", f"runner-tool {tool}"], noarch=True, entry_points=["runner-lib = runner_lib:main"])
    package.add(f"{SITE_PACKAGES}/runner_lib.py", f'__version__ = "{version}"\n\n\ndef main():\n    print("runner-lib", __version__)\n'.encode())
    return package


def main():
    channel = pathlib.Path(sys.argv[1])
    for package in (
        python_package(), pip_package(), tool_package("1.0"), tool_package("2.0"), lib_package("1.0", "<2"), lib_package("2.0", ">=2"),
    ):
        package.write(channel)
    asyncio.run(rattler.index.index_fs(channel))


if __name__ == "__main__":
    main()
