package inventory

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Disk is where our files are.
type Disk struct {
	// Path that was asked about: our root, or what there is of it.
	Path string `json:"path"`
	// Total and Free (for us) in bytes; zero Total: unknown.
	Total int64 `json:"total"`
	Free  int64 `json:"free"`
	// FreeFiles is how many files more can be made; -1: unknown or unlimited.
	FreeFiles int64 `json:"free_files"`
	// FileSystem, for example "ext4"; empty: unknown.
	FileSystem string `json:"file_system"`
	MountPoint string `json:"mount_point"`
	// Network: the files are on another machine.
	Network bool `json:"network"`
	// InMemory: they are gone after a reboot.
	InMemory bool `json:"in_memory"`
	ReadOnly bool `json:"read_only"`
	NoExec   bool `json:"no_exec"`
	// Writable: we may make files there.
	Writable bool `json:"writable"`
}

// mount is a line of mountinfo.
type mount struct {
	root, point, kind     string
	options, superOptions []string
}

// networkKinds are file systems of other machines.
var networkKinds = []string{
	"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2",
	"gfs2", "pvfs2", "orangefs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse",
	"fuse.blobfuse", "fuse.blobfuse2", "fuse.rclone", "fuse.juicefs", "fuse.beegfs",
}

// disk asks about the file system of dir, or of the nearest of its parents
// that is there.
func (a *asker) disk(ctx context.Context, dir string) Disk {
	dir = path.Clean(dir)
	for dir != "/" && dir != "." {
		if _, err := a.host.Stat(ctx, dir); err == nil || !missing(err) {
			break
		}
		dir = path.Dir(dir)
	}
	d := Disk{Path: dir, FreeFiles: -1, Writable: a.writable(ctx, dir)}
	if table, ok := a.read(ctx, "/proc/self/mountinfo"); ok {
		if m, ok := mountOf(parseMounts(table), a.real(ctx, dir)); ok {
			d.FileSystem, d.MountPoint = m.kind, m.point
			d.Network = slices.Contains(networkKinds, m.kind)
			d.InMemory = m.kind == "tmpfs" || m.kind == "ramfs"
			d.ReadOnly = slices.Contains(m.options, "ro") || slices.Contains(m.superOptions, "ro")
			d.NoExec = slices.Contains(m.options, "noexec")
		}
	}
	if a.local {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err == nil {
			size := int64(s.Bsize) //nolint:unconvert // not of this type on every system
			d.Total, d.Free = int64(s.Blocks)*size, int64(s.Bavail)*size
			if s.Files > 0 {
				d.FreeFiles = int64(s.Ffree)
			}
		}
		return d
	}
	if s, err := a.run(ctx, "df", "-Pk", dir); err == nil {
		d.Total, d.Free = parseDF(s.out.String())
	}
	return d
}

// real is a directory without links, as far as that can be found out.
func (a *asker) real(ctx context.Context, dir string) string {
	if a.local {
		if p, err := filepath.EvalSymlinks(dir); err == nil {
			return p
		}
		return dir
	}
	s, err := a.run(ctx, "readlink", "-f", "--", dir)
	if p := strings.TrimSuffix(s.out.String(), "\n"); err == nil && path.IsAbs(p) {
		return p
	}
	return dir
}

// parseDF reads what df -Pk says of one directory, in bytes.
func parseDF(text string) (total, free int64) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	f := strings.Fields(lines[len(lines)-1])
	for i := len(f) - 1; i >= 4; i-- { // the device's name may hold spaces: count from "NN%"
		if strings.HasSuffix(f[i], "%") {
			return number(f[i-3]) << 10, number(f[i-1]) << 10
		}
	}
	return 0, 0
}

// parseMounts reads /proc/self/mountinfo.
func parseMounts(table string) []mount {
	var out []mount
	for line := range strings.Lines(table) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 3 {
			continue
		}
		out = append(out, mount{
			root: unescape(l[3]), point: unescape(l[4]), kind: r[0],
			options: strings.Split(l[5], ","), superOptions: strings.Split(r[2], ","),
		})
	}
	return out
}

// mountOf is the mount that a directory is on: of the longest point, and of
// equal ones the last, which lies on top.
func mountOf(mounts []mount, dir string) (mount, bool) {
	best, found := mount{}, false
	for _, m := range mounts {
		inside := m.point == "/" || dir == m.point || strings.HasPrefix(dir, m.point+"/")
		if inside && (!found || len(m.point) >= len(best.point)) {
			best, found = m, true
		}
	}
	return best, found
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
