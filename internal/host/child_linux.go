package host

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts cmd and a goroutine that waits for it through the runtime's
// poller, which costs no thread and can be given up.
func (h *Here) start(cmd *exec.Cmd) (*child, error) {
	fd := -1
	cmd.SysProcAttr.PidFD = &fd
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	pid := cmd.Process.Pid
	c := &child{ended: make(chan struct{}), code: -1}
	if fd >= 0 {
		_ = unix.SetNonblock(fd, true) // a pidfd allows it; else the read below blocks a thread
		c.watch = os.NewFile(uintptr(fd), "pidfd")
	}
	_ = cmd.Process.Release() // from here on its status is ours to take
	h.adopt(c, func() {
		if c.watch == nil || !c.waitPolled(pid) {
			c.waitBlocking(pid)
		}
	})
	return c, nil
}

// dieWithUs has a command that is started next killed when this process ends.
// The kernel looks at the thread that started it, so that is kept until the
// result is called.
func dieWithUs(attr *syscall.SysProcAttr) (done func()) {
	runtime.LockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
	return runtime.UnlockOSThread
}

// waitPolled takes the exit status once there is one, or gives up when the
// child is abandoned. It says false when a pidfd cannot be watched here.
func (c *child) waitPolled(pid int) bool {
	raw, err := c.watch.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(uintptr) bool {
		var status unix.WaitStatus
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		switch {
		case got == pid:
			c.take(status)
			return true
		case errors.Is(err, unix.EINTR), err == nil:
			return false
		default:
			return true
		}
	})
	return err == nil || c.abandoned.Load()
}

func (c *child) waitBlocking(pid int) {
	var status unix.WaitStatus
	for {
		got, err := unix.Wait4(pid, &status, 0, nil)
		if got == pid {
			c.take(status)
		}
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
