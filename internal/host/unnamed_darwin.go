package host

import "os"

// unnamedFile is a file that nobody else sees and that goes with its last
// user; nil when none can be made (a full disk must not stop a start).
func unnamedFile() *os.File {
	f, err := os.CreateTemp("", "runner-stderr-*")
	if err != nil {
		return nil
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // only a decoration of errors is lost
		return nil
	}
	return f
}
