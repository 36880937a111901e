package main

import (
	"os"
	"sync"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// screen is one of our two outputs and what it can show.
type screen struct {
	file     *os.File
	terminal bool
	colour   bool
	mu       sync.Mutex
	last     byte // the last byte written
}

func newScreen(file *os.File, getenv func(string) string) *screen {
	s := &screen{file: file, terminal: isatty.IsTerminal(file.Fd()) && getenv("TERM") != "dumb", last: '\n'}
	s.colour = s.terminal && getenv("NO_COLOR") == ""
	return s
}

// Write passes p on, byte for byte.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.file.Write(p)
	if n > 0 {
		s.last = p[n-1]
	}
	return n, err
}

// control moves the cursor of a terminal; it ends where it began, at the
// beginning of a line.
func (s *screen) control(sequence string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.file.WriteString(sequence) // a terminal that is gone shows at the next line
}

// midLine says whether the last line has no end yet.
func (s *screen) midLine() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last != '\n'
}

// width is the number of columns, zero when there is no terminal.
func (s *screen) width() int {
	if !s.terminal {
		return 0
	}
	width, _, err := term.GetSize(int(s.file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func (s *screen) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) red(text string) string    { return s.paint("31", text) }
func (s *screen) green(text string) string  { return s.paint("32", text) }
func (s *screen) yellow(text string) string { return s.paint("33", text) }
func (s *screen) blue(text string) string   { return s.paint("36", text) }
func (s *screen) bold(text string) string   { return s.paint("1", text) }
func (s *screen) dim(text string) string    { return s.paint("2", text) }
