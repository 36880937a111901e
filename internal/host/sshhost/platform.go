package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/runnerml/runner/internal/host"
)

// platformScript prints one word in each line.
const platformScript = `uname -s; uname -m; uname -n; id -u; id -g; printf '%s\n' "$HOME"
cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.boottime 2>/dev/null || echo`

var errPlatform = errors.New("the host does not say what it is")

// Platform says what the host is, asked anew each time.
func (h *Host) Platform(ctx context.Context) (host.Platform, error) {
	var out bytes.Buffer
	if err := h.script(ctx, "ask for the platform", platformScript, nil, &out); err != nil {
		return host.Platform{}, err
	}
	lines := strings.Split(out.String(), "\n")
	const words = 7
	if len(lines) < words {
		return host.Platform{}, fmt.Errorf("%w: %q", errPlatform, out.String())
	}
	uid, uidErr := strconv.Atoi(lines[3])
	gid, gidErr := strconv.Atoi(lines[4])
	if err := errors.Join(uidErr, gidErr); err != nil {
		return host.Platform{}, fmt.Errorf("%w: %w", errPlatform, err)
	}
	return host.Platform{
		OS: strings.ToLower(lines[0]), Arch: archOf(lines[1]), Hostname: lines[2],
		UID: uid, GID: gid, Home: lines[5], BootID: bootOf(lines[6]),
	}, nil
}

// archOf says in Go's words what uname says.
func archOf(machine string) string {
	switch machine {
	case "x86_64", "amd64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	case "i386", "i486", "i586", "i686":
		return "386"
	case "loongarch64":
		return "loong64"
	}
	if strings.HasPrefix(machine, "armv") {
		return "arm"
	}
	return machine // ppc64le, s390x, riscv64: the same words
}

// bootOf takes the seconds from what macOS says: "{ sec = 1700000000, usec = 0 } ...".
func bootOf(said string) string {
	if rest, ok := strings.CutPrefix(said, "{ sec = "); ok {
		said, _, _ = strings.Cut(rest, ",")
	}
	return strings.TrimSpace(said)
}
