package inventory

import (
	"fmt"
	"strings"

	"github.com/runnerml/runner/internal/container"
)

func diagnosePython(inv *Inventory) []Finding {
	out := diagnoseUV(inv)
	uv := inv.UV != nil && inv.UV.Error == ""
	var works []Python
	for _, p := range inv.Python {
		if p.Error != "" {
			out = append(out, Finding{
				Subject: subjectPython, Level: Warning, What: fmt.Sprintf("%s does not run: %s", p.Path, p.Error),
				Means: "environments cannot use this interpreter", Hint: "repair or remove it",
			})
			continue
		}
		if strings.HasPrefix(p.Version, "3.") {
			works = append(works, p)
		}
	}
	if len(works) == 0 {
		f := Finding{
			Subject: subjectPython, Level: Problem, What: "no Python 3 was found",
			Means: "environments with pip cannot be made; those with conda or docker can",
			Hint:  "install Python 3" + command(inv.System.install("python3 python3-venv", "python3", "python3")) + ", or uv, which fetches one",
		}
		if uv {
			f.Level, f.Means, f.Hint = Note, "uv fetches the Python that an environment asks for; the first time takes longer", ""
		}
		return append(out, f)
	}
	for i, p := range works {
		f := Finding{
			Subject: subjectPython, Level: OK, What: "Python " + p.Version + " at " + p.Path,
			Means: "environments with pip can be made with it",
		}
		switch {
		case p.Virtual:
			f.What += " (a virtual environment)"
		case p.Conda:
			f.What += " (conda's)"
		}
		if !p.Venv && !uv {
			lacks := "venv"
			if p.VenvModule {
				lacks = "ensurepip, which venv needs"
			}
			f.Level, f.Means = Note, "it lacks the module "+lacks+": environments for this version cannot be made"
			if i == 0 {
				f.Level, f.Means = Problem, "it lacks the module "+lacks+": environments with pip cannot be made, and this is the interpreter that is taken when a spec names none"
			}
			f.Hint = venvHint(inv.System, p)
		}
		out = append(out, f)
	}
	return out
}

// venvHint says how an interpreter gets what venv needs.
func venvHint(s System, p Python) string {
	minor := p.Version
	if parts := strings.SplitN(p.Version, ".", 3); len(parts) == 3 {
		minor = parts[0] + "." + parts[1]
	}
	how := s.install("python3-venv (or python"+minor+"-venv)", "python3-libs", "python3")
	if how == "" || !strings.HasPrefix(p.Path, "/usr/bin/") {
		return "install Python " + minor + " with its whole standard library, or install uv"
	}
	return how + ", or install uv"
}

// command is a command line in brackets, or nothing.
func command(line string) string {
	if line == "" {
		return ""
	}
	return " (" + line + ")"
}

func diagnoseUV(inv *Inventory) []Finding {
	switch {
	case inv.UV == nil:
		return []Finding{{
			Subject: subjectUV, Level: Note, What: "uv was not found",
			Means: "environments are made with pip; with uv that is several times faster, and it fetches other Python versions",
			Hint:  "python3 -m pip install --user uv, and have ~/.local/bin in PATH",
		}}
	case inv.UV.Error != "":
		return []Finding{{
			Subject: subjectUV, Level: Warning, What: fmt.Sprintf("%s does not run: %s", inv.UV.Path, inv.UV.Error),
			Means: "making an environment fails as long as it is there", Hint: "repair or remove it",
		}}
	}
	return []Finding{{
		Subject: subjectUV, Level: OK, What: "uv " + inv.UV.Version + " at " + inv.UV.Path,
		Means: "environments with pip are made with it",
	}}
}

func diagnoseConda(inv *Inventory) []Finding {
	var out []Finding
	chosen := false
	for _, p := range inv.Conda {
		f := Finding{Subject: subjectConda, Level: OK, What: fmt.Sprintf("%s %s at %s", p.Name, p.Version, p.Path), Means: "there, and not needed"}
		switch {
		case p.Error != "":
			f.Level, f.What = Warning, fmt.Sprintf("%s does not run: %s", p.Path, p.Error)
			f.Means, f.Hint = "making an environment with conda fails as long as it is there", "repair or remove it"
		case !chosen:
			chosen, f.Means = true, "environments with conda are made with it"
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		hint := "install micromamba (one file, no root needed) or Miniforge"
		if !inv.Local {
			hint += ", or attach the machine with --install-micromamba"
		}
		out = append(out, Finding{
			Subject: subjectConda, Level: Note, What: "no conda tool was found (micromamba, mamba, conda)",
			Means: "environments with python.conda cannot be made; those with pip or docker can",
			Hint:  hint,
		})
	}
	return out
}

func diagnoseGit(inv *Inventory) []Finding {
	switch {
	case inv.Git == nil:
		return []Finding{{
			Subject: subjectGit, Level: Note, What: "git was not found",
			Means: "requirements that name a git repository cannot be installed",
			Hint:  strings.TrimSpace("install git" + command(inv.System.install("git", "git", "git"))),
		}}
	case inv.Git.Error != "":
		return []Finding{{
			Subject: subjectGit, Level: Warning, What: fmt.Sprintf("%s does not run: %s", inv.Git.Path, inv.Git.Error),
			Means: "requirements that name a git repository cannot be installed", Hint: "repair it",
		}}
	}
	return []Finding{{
		Subject: subjectGit, Level: OK, What: "git " + inv.Git.Version + " at " + inv.Git.Path,
		Means: "requirements may name git repositories",
	}}
}

func diagnoseDocker(inv *Inventory) []Finding {
	d := inv.Docker
	if !d.Found {
		return []Finding{dockerAway(d, inv.Local)}
	}
	name := "Docker"
	if d.Podman {
		name = "podman"
	}
	f := Finding{
		Subject: subjectDocker, Level: OK, What: fmt.Sprintf("%s %s (API %s) at %s", name, d.Version, d.API, d.Socket),
		Means: "environments with docker work",
	}
	if d.Rootless {
		f.What += ", rootless"
	}
	out := []Finding{f}
	if d.DiskFree >= 0 && d.DiskFree < lowDisk {
		out = append(out, Finding{
			Subject: subjectDocker, Level: Warning, What: fmt.Sprintf("%s free where the engine keeps images (%s)", bytesOf(d.DiskFree), d.RootDir),
			Means: "pulling or building an image may fail: one with CUDA takes 5 GiB and more",
			Hint:  "docker system df shows what takes it; runner environment prune frees what we made",
		})
	}
	noLimits := false
	for _, w := range d.Warnings {
		low := strings.ToLower(w)
		noLimits = noLimits || strings.Contains(low, "no memory limit support") || strings.Contains(low, "no cpu cfs")
	}
	if noLimits || d.Rootless && d.CgroupVersion == "1" {
		out = append(out, Finding{
			Subject: subjectDocker, Level: Warning, What: "the engine cannot keep limits of memory or CPU (control groups)",
			Means: "a container may use more than its run asked for, at the cost of others",
			Hint:  "rootless engines need cgroup v2 and delegated controllers; else enable the memory controller of the kernel",
		})
	}
	if d.StorageDriver == "vfs" {
		out = append(out, Finding{
			Subject: subjectDocker, Level: Note, What: "the engine copies every layer (storage driver vfs)",
			Means: "images take several times their size, and containers start slowly",
			Hint:  "use overlay2 (or fuse-overlayfs for a rootless engine)",
		})
	}
	return out
}

func dockerAway(d Docker, local bool) Finding {
	f := Finding{
		Subject: subjectDocker, Level: Note, What: "no container engine answers: " + d.Message,
		Means: "environments with docker cannot be used; all others can", Hint: d.Hint,
	}
	switch container.Kind(d.Problem) {
	case container.NoEngine:
		f.What = "no Docker or podman was found"
		if !local { // the settings and variables of this computer say nothing of it
			f.Hint = "install and start Docker or podman there; it is looked for where each of them listens by itself"
		}
	case container.PermissionDenied:
		f.Level, f.What = Warning, "this user may not talk to the Docker engine: "+d.Message
		f.Hint = "add the user to the docker group (sudo usermod -aG docker USER, then log in again), or use rootless Docker or podman"
	case container.EngineTooOld, container.Unreachable:
		f.Level = Warning
	default:
		f.Level = Warning
	}
	return f
}
