package host

import "al.essio.dev/pkg/shellescape"

// Quote makes one line of POSIX shell that runs argv byte for byte. It is the
// only place where words become shell.
func Quote(argv ...string) string {
	return shellescape.QuoteCommand(argv)
}
