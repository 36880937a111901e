package local

import (
	"runtime"

	"golang.org/x/sys/unix"
)

func size() (cpus float64, memory int64, err error) {
	bytes, err := unix.SysctlUint64("hw.memsize")
	return float64(runtime.NumCPU()), int64(bytes), err
}
