package controller

import (
	"bytes"
	"fmt"
	"io"
)

// tailBlock is how much of a log is read at once from its end, in bytes.
const tailBlock = 64 << 10

// placeIn is the byte offset at which the last lines of a log begin. A last
// line without a newline counts. lines < 0: the beginning.
func placeIn(f io.ReadSeeker, lines int) (int64, error) {
	if lines < 0 {
		return 0, nil
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("find the end of the log: %w", err)
	}
	if lines == 0 {
		return end, nil
	}
	buf := make([]byte, tailBlock)
	seen := 0
	for at := end; at > 0; {
		n := min(at, tailBlock)
		at -= n
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return 0, fmt.Errorf("find the last lines of the log: %w", err)
		}
		if _, err := io.ReadFull(f, buf[:n]); err != nil {
			return 0, fmt.Errorf("find the last lines of the log: %w", err)
		}
		block := buf[:n]
		if at+n == end && block[n-1] == '\n' {
			block = block[:n-1] // the newline that ends the last line
		}
		for {
			i := bytes.LastIndexByte(block, '\n')
			if i < 0 {
				break
			}
			if seen++; seen == lines {
				return at + int64(i) + 1, nil
			}
			block = block[:i]
		}
	}
	return 0, nil
}
