package onhost

import (
	"io/fs"
	"time"
)

// info is an entry as an fs.FileInfo and fs.DirEntry.
type info struct{ e entry }

var (
	_ fs.FileInfo = info{}
	_ fs.DirEntry = info{}
)

func (i info) Name() string               { return string(i.e.Name) }
func (i info) Size() int64                { return i.e.Bytes }
func (i info) Mode() fs.FileMode          { return i.e.Perm }
func (i info) ModTime() time.Time         { return i.e.Time }
func (i info) IsDir() bool                { return i.e.Perm.IsDir() }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.e.Perm.Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
