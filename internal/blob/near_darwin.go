package blob

import (
	"net"
	"time"
)

// isNear does not know.
func isNear(*net.TCPConn, time.Duration) bool { return false }
