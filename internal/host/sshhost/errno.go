package sshhost

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// saidError is what a failed script of ours said, with the meaning of errno
// where its words have one.
func saidError(end ending, said string) error {
	said = strings.TrimSpace(said)
	for _, w := range []struct {
		words string
		errno syscall.Errno
	}{
		{"No such file", syscall.ENOENT}, // dash says no more than that
		{"Directory nonexistent", syscall.ENOENT},
		{"No space left on device", syscall.ENOSPC},
		{"Disk quota exceeded", syscall.EDQUOT},
		{"Read-only file system", syscall.EROFS},
		{"Permission denied", syscall.EACCES},
		{"Operation not permitted", syscall.EPERM},
		{"Not a directory", syscall.ENOTDIR},
		{"Is a directory", syscall.EISDIR},
		{"Directory not empty", syscall.ENOTEMPTY},
		{"File exists", syscall.EEXIST},
		{"Invalid argument", syscall.EINVAL},
		{"File name too long", syscall.ENAMETOOLONG},
	} {
		if strings.Contains(said, w.words) {
			return fmt.Errorf("%w (%s)", w.errno, said)
		}
	}
	if said == "" {
		return fmt.Errorf("exit code %d", end.code)
	}
	return errors.New(said)
}
