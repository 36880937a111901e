package supervise

import "time"

// kernelKilled cannot be told here.
func kernelKilled(int, time.Time) bool { return false }
