package testenv

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Listen listens on loopback of the namespace, for what runs there: a service beside the machine that is not behind the
// line which is cut. The listener goes with the test.
func (n *Netns) Listen() net.Listener {
	n.t.Helper()
	type made struct {
		listener net.Listener
		err      error
	}
	got := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us, and is in no other's way
		listener, err := listenIn(n.path())
		got <- made{listener, err}
	}()
	m := <-got
	if m.err != nil {
		n.t.Fatalf("testenv: listen in namespace %s: %v", n.name(), m.err)
	}
	n.t.Cleanup(func() { _ = m.listener.Close() })
	return m.listener
}

// listenIn takes the thread that it runs on into a namespace, for good.
func listenIn(path string) (net.Listener, error) {
	namespace, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, errors.Join(fmt.Errorf("enter %s: %w", path, err), namespace.Close())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	return listener, errors.Join(err, namespace.Close())
}
