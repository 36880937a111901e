package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// buildID identifies an executable: Go's own build id, which is a digest of
// everything that went into it and costs a few reads, else the digest of the
// whole file.
func buildID(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("identify our own executable: %w", err)
	}
	defer file.Close()
	if id := goBuildID(file); id != "" {
		return id, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("identify our own executable: %w", err)
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// goBuildID reads the note that Go's linker leaves in an ELF file, or the mark
// it leaves at the beginning of the code elsewhere.
func goBuildID(file *os.File) string {
	const noteHeader = 16 // three sizes and "Go\0\0"
	if exe, err := elf.NewFile(file); err == nil {
		section := exe.Section(".note.go.buildid")
		if section == nil {
			return ""
		}
		data, err := section.Data()
		if err != nil || len(data) <= noteHeader {
			return ""
		}
		return string(bytes.TrimRight(data[noteHeader:], "\x00"))
	}
	head := make([]byte, 64<<10)
	n, _ := file.ReadAt(head, 0) // a short file has no mark
	_, rest, ok := bytes.Cut(head[:n], []byte("\xff Go build ID: \""))
	if !ok {
		return ""
	}
	id, _, ok := bytes.Cut(rest, []byte("\"\n \xff"))
	if !ok {
		return ""
	}
	return string(id)
}
