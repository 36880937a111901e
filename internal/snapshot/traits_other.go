//go:build !linux

package snapshot

// traitsOf says nothing: working copies are kept on Linux only.
func traitsOf(int) (string, error) {
	return "", nil
}
