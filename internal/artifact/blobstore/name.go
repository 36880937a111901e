package blobstore

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// marker is the last part of a blob's name that stands for an empty directory.
const marker = ".runner-directory"

// encode writes a name as a blob can be called: what it cannot have is %XX, and
// so is a percent sign.
func encode(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if part == marker {
			parts[i] = "%2E" + part[1:]
			continue
		}
		parts[i] = encodePart(part)
	}
	return strings.Join(parts, "/")
}

func encodePart(part string) string {
	var b strings.Builder
	for i := 0; i < len(part); {
		r, n := utf8.DecodeRuneInString(part[i:])
		last := i+n == len(part)
		switch {
		case r == utf8.RuneError, r < ' ', r == 0x7f, r == '%', r == '\\', r == '.' && last:
			for _, c := range []byte(part[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		default:
			b.WriteString(part[i : i+n])
		}
		i += n
	}
	return b.String()
}

// decode reads what encode wrote.
func decode(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '%' && i+2 < len(name) {
			if c, err := strconv.ParseUint(name[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}
