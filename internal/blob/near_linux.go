package blob

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// isNear says whether the other end of a connection answers within much less
// time than a person notices.
func isNear(c *net.TCPConn, within time.Duration) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	if controlErr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); controlErr != nil || err != nil {
		return false
	}
	return time.Duration(info.Rtt)*time.Microsecond < within
}
