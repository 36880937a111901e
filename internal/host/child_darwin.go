package host

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts cmd and a goroutine that waits for it until it ends.
func (h *Here) start(cmd *exec.Cmd) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{ended: make(chan struct{}), code: -1}
	h.adopt(c, func() {
		_ = cmd.Wait() // how it ended is in its state
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
			c.take(unix.WaitStatus(ws))
		}
	})
	return c, nil
}

// dieWithUs is nothing that this system can do.
func dieWithUs(*syscall.SysProcAttr) (done func()) { return func() {} }
