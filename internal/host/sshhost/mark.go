package sshhost

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// maxNoise is how much of what a login shell prints we keep.
const maxNoise = 8 << 10

// newMark is a word that nobody else prints.
func newMark() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return "runner-" + hex.EncodeToString(b[:])
}

// seek looks for the line of the mark, "MARK:WORD". It returns what follows
// that line; nil when it has not come.
func (m *marked) seek(p []byte) []byte {
	m.before = append(m.before, p...)
	i := bytes.Index(m.before, m.mark)
	if i < 0 {
		if over := len(m.before) - maxNoise; over > 0 {
			m.before = append(m.before[:0], m.before[over:]...)
		}
		return nil
	}
	end := bytes.IndexByte(m.before[i+1:], '\n')
	if end < 0 {
		return nil
	}
	line, rest := m.before[i+1:i+1+end], m.before[i+2+end:]
	m.after = strings.TrimPrefix(string(line[len(m.mark)-1:]), ":")
	m.found, m.before = true, m.before[:i]
	return append([]byte{}, rest...)
}

// noise is the last of what came before the mark.
func (m *marked) noise() string {
	return strings.TrimSpace(string(bytes.ToValidUTF8(m.before, []byte("?"))))
}
