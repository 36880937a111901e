package inventory

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/container"
)

// healthy is a machine with which nothing is wrong.
func healthy() *Inventory {
	return &Inventory{
		Hostname: "gpu1", Local: true, Root: "/home/me/.runner", UID: 1000,
		System: System{OS: "linux", Arch: "amd64", Kernel: "6.1.0", Distribution: "debian", Name: "Debian GNU/Linux 12"},
		CPUs:   CPUs{Online: 8, Allowed: 8, Usable: 8},
		Memory: Memory{Total: 64 * gibi, Usable: 64 * gibi, Available: 60 * gibi},
		Disk:   Disk{Path: "/home/me/.runner", Total: 500 * gibi, Free: 300 * gibi, FreeFiles: 1 << 24, FileSystem: "ext4", MountPoint: "/", Writable: true},
		Cgroup: Cgroup{Version: 2, Memory: true, CPU: true},
		Limits: Limits{OpenFiles: 1 << 20, Processes: -1},
		Clock:  Clock{Known: true, Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		GPUs:   []GPU{{Vendor: "nvidia", ID: h100, UUID: h100, Name: "NVIDIA H100 80GB HBM3", Memory: 81559 * mib}},
		NVIDIA: NVIDIA{Driver: "580.65.06", CUDA: "13.0"},
		Python: []Python{{Path: "/usr/bin/python3", Version: "3.11.2", Venv: true, VenvModule: true, EnsurePip: true}},
		Conda:  []Program{{Name: "micromamba", Path: "/usr/bin/micromamba", Version: "2.0.5"}},
		UV:     &Program{Name: "uv", Path: "/usr/bin/uv", Version: "0.5.14"},
		Git:    &Program{Name: "git", Path: "/usr/bin/git", Version: "2.39.5"},
		Docker: Docker{Found: true, Version: "28.5.2", API: "1.51", Socket: "/var/run/docker.sock", NVIDIA: true, DiskFree: 300 * gibi, CgroupVersion: "2", StorageDriver: "overlay2"},
	}
}

// TestDiagnose changes one thing of a healthy machine and looks at what is
// said that was not said before.
func TestDiagnose(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Inventory)
		subject string
		level   Level
		// what, means and hint are parts of the one finding.
		what, means, hint string
	}{
		"docker denied": {
			func(i *Inventory) {
				i.Docker = Docker{Problem: string(container.PermissionDenied), Message: "/var/run/docker.sock: permission denied"}
			},
			"Docker", Warning, "may not talk", "docker cannot be used", "usermod -aG docker",
		},
		"no docker": {
			func(i *Inventory) { i.Docker = Docker{Problem: string(container.NoEngine), Hint: "install"} },
			"Docker", Note, "no Docker", "all others can", "install",
		},
		"docker stopped": {
			func(i *Inventory) {
				i.Docker = Docker{Problem: string(container.Unreachable), Message: "connection refused", Hint: "start it"}
			},
			"Docker", Warning, "connection refused", "cannot be used", "start it",
		},
		"no docker there": {
			func(i *Inventory) {
				i.Local, i.Docker = false, Docker{Problem: string(container.NoEngine), Hint: "docker_socket"}
			},
			"Docker", Note, "no Docker", "cannot be used", "install and start Docker or podman there",
		},
		"docker's disk": {func(i *Inventory) { i.Docker.DiskFree = gibi }, "Docker", Warning, "1 GiB free", "pulling", "docker system df"},
		"docker without limits": {
			func(i *Inventory) { i.Docker.Warnings = []string{"WARNING: No memory limit support"} },
			"Docker", Warning, "cannot keep limits", "more than its run", "cgroup v2",
		},
		"no toolkit":             {func(i *Inventory) { i.Docker.NVIDIA = false }, "GPU", Warning, "container toolkit", "not in containers", "nvidia-ctk"},
		"old driver":             {func(i *Inventory) { i.NVIDIA.Driver = "535.129.03" }, "GPU", Note, "535.129.03", "12.2.2", "update the driver"},
		"older driver":           {func(i *Inventory) { i.NVIDIA.Driver = "418.40.04" }, "GPU", Warning, "418.40.04", "too old for every image", "update the driver"},
		"no version":             {func(i *Inventory) { i.NVIDIA.Driver = "" }, "GPU", Warning, "not known", "cannot choose", "docker.image"},
		"gpu wants a reset":      {func(i *Inventory) { i.GPUs[0].Recovery = "Drain and Reset" }, "GPU", Problem, "drain and reset", "no run is given it", "--gpu-reset"},
		"gpu prohibited":         {func(i *Inventory) { i.GPUs[0].ComputeMode = "Prohibited" }, "GPU", Warning, "Prohibited", "no run is given it", "-c DEFAULT"},
		"gpu exclusive":          {func(i *Inventory) { i.GPUs[0].ComputeMode = "Exclusive_Process" }, "GPU", Note, "Exclusive_Process", "one process", "-c DEFAULT"},
		"a processor's graphics": {func(i *Inventory) { i.GPUs[0].Small = true }, "GPU", Note, "H100", "no run is given it", ""},
		"mig empty":              {func(i *Inventory) { i.GPUs[0].MIG = true }, "GPU", Warning, "without instances", "instances only", "-mig 0"},
		"mig": {
			func(i *Inventory) {
				i.GPUs[0].MIG, i.GPUs[0].Instances = true, []Instance{{ID: "MIG-1", Profile: "3g.40gb"}, {ID: "MIG-2", Profile: "3g.40gb"}}
			},
			"GPU", OK, "2 MIG instances (3g.40gb, 3g.40gb)", "counts as one GPU", "",
		},
		"no gpu": {func(i *Inventory) { i.GPUs, i.NVIDIA = nil, NVIDIA{} }, "GPU", Note, "no GPU", "refused", ""},
		"driver is not loaded": {
			func(i *Inventory) {
				i.GPUs, i.NVIDIA = nil, NVIDIA{}
				i.Faults = []Fault{{Subject: "GPU", Kind: FaultDriver, Tool: "nvidia-smi", Message: "couldn't communicate"}}
			},
			"GPU", Problem, "nvidia-smi: couldn't communicate", "not loaded", "dkms",
		},
		"nvidia-smi hangs": {
			func(i *Inventory) {
				i.GPUs, i.NVIDIA = nil, NVIDIA{}
				i.Faults = []Fault{{Subject: "GPU", Kind: FaultHung, Tool: "nvidia-smi", Message: "it does not answer"}}
			},
			"GPU", Problem, "does not answer", "stuck", "Xid",
		},
		"no venv on Debian": {
			func(i *Inventory) { i.UV = nil; i.Python[0].Venv, i.Python[0].EnsurePip = false, false },
			"Python", Problem, "3.11.2", "ensurepip", "apt install python3-venv (or python3.11-venv)",
		},
		"no venv, but uv": {func(i *Inventory) { i.Python[0].Venv, i.Python[0].EnsurePip = false, false }, "", "", "", "", ""},
		"no python":       {func(i *Inventory) { i.Python, i.UV = nil, nil }, "Python", Problem, "no Python 3", "cannot be made", "apt install python3"},
		"only python 2":   {func(i *Inventory) { i.Python[0].Version, i.UV = "2.7.18", nil }, "Python", Problem, "no Python 3", "", ""},
		"uv fetches it":   {func(i *Inventory) { i.Python = nil }, "Python", Note, "no Python 3", "uv fetches", ""},
		"python broken":   {func(i *Inventory) { i.Python = append(i.Python, Python{Path: "/opt/python3", Error: "boom"}) }, "Python", Warning, "/opt/python3 does not run: boom", "", "repair"},
		"no uv":           {func(i *Inventory) { i.UV = nil }, "uv", Note, "not found", "several times faster", "pip install"},
		"uv broken":       {func(i *Inventory) { i.UV.Error = "boom" }, "uv", Warning, "boom", "fails", "remove"},
		"no conda":        {func(i *Inventory) { i.Conda = nil }, "Conda", Note, "no conda tool", "python.conda", "micromamba"},
		"no git":          {func(i *Inventory) { i.Git = nil }, "Git", Note, "not found", "repository", "apt install git"},
		"little disk":     {func(i *Inventory) { i.Disk.Free = 3 * gibi }, "Disk", Warning, "3 GiB free of 500 GiB", "5 GiB", "runner prune"},
		"no disk":         {func(i *Inventory) { i.Disk.Free = 100 << 20 }, "Disk", Problem, "100 MiB free", "runs fail", "RUNNER_HOME"},
		"few files":       {func(i *Inventory) { i.Disk.FreeFiles = 1000 }, "Disk", Warning, "free", "1000 files", ""},
		"network disk":    {func(i *Inventory) { i.Disk.Network, i.Disk.FileSystem = true, "nfs4" }, "Home", Warning, "nfs4", "SQLite", "RUNNER_HOME"},
		"noexec":          {func(i *Inventory) { i.Disk.NoExec = true }, "Home", Problem, "noexec", "supervisor", "RUNNER_HOME"},
		"in memory":       {func(i *Inventory) { i.Disk.InMemory, i.Disk.FileSystem = true, "tmpfs" }, "Home", Warning, "tmpfs", "reboot", "RUNNER_HOME"},
		"read-only":       {func(i *Inventory) { i.Disk.ReadOnly = true }, "Home", Problem, "read-only", "nothing runs", "RUNNER_HOME"},
		"not ours":        {func(i *Inventory) { i.Disk.Writable = false }, "Home", Problem, "may not write", "nothing runs", "RUNNER_HOME"},
		"quota":           {func(i *Inventory) { i.CPUs.Quota, i.CPUs.Usable = 1.5, 1.5 }, "CPU", Note, "1.5 of 8 CPUs", "1.5 CPUs", ""},
		"affinity":        {func(i *Inventory) { i.CPUs.Allowed, i.CPUs.Usable = 2, 2 }, "CPU", Note, "2 of 8 CPUs: the affinity mask", "", ""},
		"memory limit":    {func(i *Inventory) { i.Memory.Limit, i.Memory.Usable = 4*gibi, 4*gibi }, "Memory", Note, "4 GiB of 64 GiB", "", ""},
		"little memory":   {func(i *Inventory) { i.Memory.Total, i.Memory.Usable = gibi, gibi }, "Memory", Warning, "1 GiB", "framework", ""},
		"no cgroup":       {func(i *Inventory) { i.Cgroup = Cgroup{Version: 2, Why: "no rights"} }, "Memory", Warning, "no rights", "looked at", "Delegate"},
		"no cgroup there": {func(i *Inventory) { i.Local, i.Cgroup = false, Cgroup{Version: 2, Why: "no rights"} }, "Memory", Warning, "no rights", "looked at", "log in as a user"},
		"no cpu cgroup":   {func(i *Inventory) { i.Cgroup.CPU, i.Cgroup.Why = false, "no rights" }, "CPU", Note, "no rights", "more CPUs", ""},
		"few open files":  {func(i *Inventory) { i.Limits.OpenFiles = 256 }, "Limits", Warning, "256 files", "Too many open files", "nofile"},
		"few processes":   {func(i *Inventory) { i.Limits.Processes = 100 }, "Limits", Warning, "100 processes", "workers", "nproc"},
		"clock ahead":     {func(i *Inventory) { i.Clock.Skew, i.Clock.Precision = 120, 1 }, "Clock", Warning, "120 s ahead of", "times", "set-ntp"},
		"clock at zero":   {func(i *Inventory) { i.Clock.Now = time.Unix(0, 0) }, "Clock", Warning, "1970", "certificates", "set-ntp"},
		"clock a bit off": {func(i *Inventory) { i.Clock.Skew, i.Clock.Precision = 5.5, 1 }, "", "", "", "", ""},
		"in a container":  {func(i *Inventory) { i.System.Container = true }, "System", Note, "Debian", "itself a container", ""},
		"a Mac":           {func(i *Inventory) { i.System.OS = "darwin" }, "System", Note, "darwin", "without limits", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := Diagnose(healthy())
			inv := healthy()
			c.change(inv)
			after := Diagnose(inv)
			checkOrder(t, after)
			// What is new, but for what says only that all is well.
			var news []Finding
			for _, f := range after {
				if !slices.Contains(before, f) && (f.Level != OK || c.level == OK) && (f.Subject == c.subject || c.subject == "") {
					news = append(news, f)
				}
			}
			if c.subject == "" {
				if len(news) > 0 {
					t.Errorf("unexpected: %+v", news)
				}
				return
			}
			if len(news) != 1 {
				t.Fatalf("%d findings, want 1: %+v", len(news), news)
			}
			f := news[0]
			if f.Level != c.level || !strings.Contains(f.What, c.what) || !strings.Contains(f.Means, c.means) || !strings.Contains(f.Hint, c.hint) {
				t.Errorf("got %+v\nwant %s with %q, %q, %q", f, c.level, c.what, c.means, c.hint)
			}
		})
	}
}

func checkOrder(t *testing.T, findings []Finding) {
	t.Helper()
	last := 0
	for _, f := range findings {
		at := slices.Index(levels, f.Level)
		if at < last {
			t.Errorf("%s after a lesser finding: %+v", f.Level, f)
		}
		last = at
		if f.What == "" || f.Means == "" || !slices.Contains(subjects, f.Subject) || strings.Contains(f.What+f.Means+f.Hint, "\n") {
			t.Errorf("not a finding: %+v", f)
		}
	}
}

func TestHealthy(t *testing.T) {
	findings := Diagnose(healthy())
	if w := Worst(findings); w != OK {
		t.Errorf("worst of a healthy machine is %s: %+v", w, findings)
	}
	var got []string
	for _, f := range findings {
		got = append(got, f.Subject)
	}
	want := []string{"System", "Disk", "CPU", "Memory", "Python", "uv", "Conda", "Docker", "GPU", "GPU", "Git"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if Worst(nil) != OK {
		t.Error("the worst of nothing")
	}
}

// TestJSON: the names are what scripts hang on.
func TestJSON(t *testing.T) {
	data, err := json.Marshal(Diagnose(healthy())[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"subject":"System","level":"ok","what":"Debian GNU/Linux 12, linux/amd64, kernel 6.1.0","means":"runs work here as plain processes and, with an engine, in containers","hint":""}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBytesOf(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 81559 * mib: "79.6 GiB", 5 * gibi: "5 GiB"} {
		if got := bytesOf(n); got != want {
			t.Errorf("bytesOf(%d) = %q, want %q", n, got, want)
		}
	}
}
