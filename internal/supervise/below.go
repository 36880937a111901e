package supervise

// Descendants are a process and all that it started, and they in turn, as far as
// the system tells; none for a process that is not there.
func Descendants(pid int) []int {
	if pid <= 0 {
		return nil
	}
	if _, err := startTime(pid); err != nil {
		return nil
	}
	return append([]int{pid}, descendants(pid)...)
}
