package inventory

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// System is what the machine runs.
type System struct {
	// OS and Arch in Go's words: "linux", "amd64".
	OS   string `json:"os"`
	Arch string `json:"arch"`
	// Kernel release, for example "6.1.0-18-amd64".
	Kernel string `json:"kernel"`
	// Distribution and Version as os-release has them: "debian", "12".
	Distribution string `json:"distribution"`
	Version      string `json:"version"`
	// Family are the distributions it is made from, for example "debian".
	Family []string `json:"family"`
	// Name for a person, for example "Debian GNU/Linux 12 (bookworm)".
	Name string `json:"name"`
	// WSL: it is Linux inside Windows.
	WSL bool `json:"wsl"`
	// Container: we are inside a container already.
	Container bool `json:"container"`
}

// CPUs that we may use.
type CPUs struct {
	// Online in the machine.
	Online int `json:"online"`
	// Allowed by our affinity mask.
	Allowed int `json:"allowed"`
	// Quota of our control group in CPUs; zero: none.
	Quota float64 `json:"quota"`
	// Usable is the least of these.
	Usable float64 `json:"usable"`
}

// Memory in bytes.
type Memory struct {
	// Total of the machine.
	Total int64 `json:"total"`
	// Limit of our control group; zero: none.
	Limit int64 `json:"limit"`
	// Usable is the lesser of the two.
	Usable int64 `json:"usable"`
	// Available now without swapping.
	Available int64 `json:"available"`
	Swap      int64 `json:"swap"`
}

// Limits of a process of ours; -1: none.
type Limits struct {
	OpenFiles int64 `json:"open_files"`
	Processes int64 `json:"processes"`
}

// Clock is the machine's clock against this computer's.
type Clock struct {
	// Skew in seconds, positive when the machine's is ahead; zero here.
	Skew float64 `json:"skew"`
	// Precision of Skew in seconds.
	Precision float64 `json:"precision"`
	// Now is what the machine's clock said.
	Now time.Time `json:"now"`
	// Known: the machine could be asked.
	Known bool `json:"known"`
}

func (a *asker) system(ctx context.Context, p host.Platform) System {
	s := System{OS: p.OS, Arch: p.Arch}
	if text, ok := a.read(ctx, "/etc/os-release"); ok {
		fields := parseOSRelease(text)
		s.Distribution, s.Version, s.Name = fields["ID"], fields["VERSION_ID"], fields["PRETTY_NAME"]
		s.Family = strings.Fields(fields["ID_LIKE"])
	} else if p.OS == "darwin" {
		s.Distribution = "macos"
		if out, err := a.run(ctx, "sw_vers", "-productVersion"); err == nil {
			s.Version = strings.TrimSpace(out.out.String())
		}
		s.Name = strings.TrimSpace("macOS " + s.Version)
	}
	if text, ok := a.read(ctx, "/proc/sys/kernel/osrelease"); ok {
		s.Kernel = strings.TrimSpace(text)
	} else if out, err := a.run(ctx, "uname", "-r"); err == nil {
		s.Kernel = strings.TrimSpace(out.out.String())
	}
	s.WSL = strings.Contains(strings.ToLower(s.Kernel), "microsoft")
	s.Container = a.exists(ctx, "/.dockerenv") || a.exists(ctx, "/run/.containerenv")
	return s
}

// parseOSRelease reads NAME=value lines; values may be quoted as in a shell.
func parseOSRelease(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		fields[name] = strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`).Replace(value)
	}
	return fields
}

func (a *asker) cpus(ctx context.Context, g groups) CPUs {
	c := CPUs{Quota: a.quota(ctx, g)}
	if text, ok := a.read(ctx, "/sys/devices/system/cpu/online"); ok {
		c.Online = countList(text)
	}
	if c.Online == 0 && a.local {
		c.Online = runtime.NumCPU()
	}
	if c.Online == 0 {
		if s, err := a.run(ctx, "getconf", "_NPROCESSORS_ONLN"); err == nil {
			c.Online = int(number(s.out.String()))
		}
	}
	c.Allowed = c.Online
	if text, ok := a.read(ctx, "/proc/self/status"); ok {
		for line := range strings.Lines(text) {
			if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
				if n := countList(list); n > 0 && n < c.Online {
					c.Allowed = n
				}
			}
		}
	}
	c.Usable = float64(c.Allowed)
	if c.Quota > 0 && c.Quota < c.Usable {
		c.Usable = c.Quota
	}
	return c
}

// countList counts the numbers of a kernel list such as "0-3,8".
func countList(text string) int {
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || first < 0 || last < first || last > 1<<16 {
			return 0
		}
		n += last - first + 1
	}
	return n
}

func (a *asker) memory(ctx context.Context, g groups) Memory {
	m := Memory{}
	if text, ok := a.read(ctx, "/proc/meminfo"); ok {
		m.Total = column(text, "MemTotal:") << 10
		m.Available = column(text, "MemAvailable:") << 10
		m.Swap = column(text, "SwapTotal:") << 10
	} else if s, err := a.run(ctx, "sysctl", "-n", "hw.memsize"); err == nil {
		m.Total = number(s.out.String())
	}
	limit, left := a.memoryLimit(ctx, g)
	m.Usable = m.Total
	if limit > 0 && (m.Total == 0 || limit < m.Total) {
		m.Limit, m.Usable = limit, limit
		m.Available = min(m.Available, left)
	}
	return m
}

// limits are those that a process cannot raise for itself.
func (a *asker) limits(ctx context.Context) Limits {
	l := Limits{OpenFiles: -1, Processes: -1}
	text, ok := a.read(ctx, "/proc/self/limits")
	if !ok {
		return l
	}
	for line := range strings.Lines(text) {
		for name, to := range map[string]*int64{"Max open files": &l.OpenFiles, "Max processes": &l.Processes} {
			rest, ok := strings.CutPrefix(line, name)
			if f := strings.Fields(rest); ok && len(f) >= 2 && f[1] != "unlimited" {
				*to = number(f[1])
			}
		}
	}
	return l
}

// clock compares the machine's clock with ours. date tells whole seconds, so
// half a second is the best there is.
func (a *asker) clock(ctx context.Context) Clock {
	before := time.Now()
	if a.local {
		return Clock{Now: before.UTC(), Known: true}
	}
	s, err := a.run(ctx, "date", "-u", "+%s")
	took := time.Since(before)
	seconds := number(s.out.String())
	if err != nil || seconds == 0 {
		return Clock{}
	}
	ours := before.Add(took / 2)
	theirs := time.Unix(seconds, 0).Add(time.Second / 2)
	return Clock{
		Skew: theirs.Sub(ours).Seconds(), Precision: (time.Second/2 + took/2).Seconds(),
		Now: theirs.UTC(), Known: true,
	}
}
