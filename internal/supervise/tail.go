package supervise

import (
	"bytes"
	"fmt"
	"io"
)

// tailBlock is how much of a log is read at once, from its end backwards.
const tailBlock = 64 << 10

// TailOffset is the byte offset at which the last lines of a log begin. A last
// line without a newline counts. lines < 0: the beginning.
func TailOffset(log io.ReadSeeker, lines int) (int64, error) {
	if lines < 0 {
		return 0, nil
	}
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("find the end of the log: %w", err)
	}
	if lines == 0 {
		return end, nil
	}
	buffer := make([]byte, tailBlock)
	seen := 0
	for at := end; at > 0; {
		size := min(at, tailBlock)
		at -= size
		if _, err := log.Seek(at, io.SeekStart); err != nil {
			return 0, fmt.Errorf("find the last lines of the log: %w", err)
		}
		block := buffer[:size]
		if _, err := io.ReadFull(log, block); err != nil {
			return 0, fmt.Errorf("find the last lines of the log: %w", err)
		}
		if at+size == end && block[size-1] == '\n' {
			block = block[:size-1] // it ends the last line and begins none
		}
		for i := bytes.LastIndexByte(block, '\n'); i >= 0; i = bytes.LastIndexByte(block[:i], '\n') {
			if seen++; seen == lines {
				return at + int64(i) + 1, nil
			}
		}
	}
	return 0, nil
}
