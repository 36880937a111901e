package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
)

// blobUploader ends named outputs in Azure Blob Storage.
type blobUploader struct{ storage *storageAccounts }

const (
	// checkTimeout bounds what a submission waits for a store to say no.
	checkTimeout = 5 * time.Second
	// uploadPatience is how long an upload waits for a store before it begins again.
	uploadPatience = time.Minute
)

func (u blobUploader) open(ctx context.Context, address string) (*blob.Container, error) {
	l, err := blob.ParseLocation(address)
	if err != nil {
		return nil, err
	}
	var right blob.Credential // of the location, if a SAS came with it
	if !l.HasSAS() {
		if right, err = u.storage.credential(ctx, l.Account); err != nil {
			return nil, err
		}
	}
	return blob.Open(l, right, blob.Options{Patience: uploadPatience})
}

// Check implements [controller.Uploader].
func (u blobUploader) Check(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c, err := u.open(ctx, address)
	if err != nil {
		return invalid(err)
	}
	defer c.Close()
	switch err := c.Check(ctx); blob.ProblemOf(err) {
	case blob.NoContainer, blob.WrongKey, blob.Expired, blob.NoIdentity, blob.ClockSkew, blob.BadTLS:
		return invalid(err)
	default: // what waiting may help, and a right that is only one to write
		return nil
	}
}

// invalid is err with its hint.
func invalid(err error) *controller.InvalidError {
	e := &controller.InvalidError{What: err.Error()}
	if of, ok := errors.AsType[*blob.Error](err); ok {
		e.Hint = of.Hint
	}
	if of, ok := errors.AsType[*blob.LocationError](err); ok {
		e.Hint = of.Hint
	}
	if of, ok := errors.AsType[*blob.CredentialError](err); ok {
		e.Hint = of.Hint
	}
	if of, ok := errors.AsType[*compute.ReferenceError](err); ok {
		e.Hint = of.Hint
	}
	return e
}

// Upload implements [controller.Uploader].
func (u blobUploader) Upload(ctx context.Context, files []controller.UploadFile, address string, tell controller.Telling) (controller.Uploaded, error) {
	c, err := u.open(ctx, address)
	if err != nil {
		return controller.Uploaded{}, err
	}
	defer c.Close()
	done := controller.Uploaded{To: c.Location().String()}
	var all []blob.Upload
	for _, f := range files {
		if err := c.CheckName(f.Name); err != nil {
			done.Left = append(done.Left, fmt.Sprintf("%s (%s)", f.Name, err))
			continue
		}
		all = append(all, blob.Upload{From: f.Name, Name: f.Name, Open: func(ctx context.Context) (blob.Content, error) {
			r, err := f.Open(ctx)
			return content{r}, err
		}})
	}
	done.Files = len(all)
	return done, c.Reporting(blob.Report{
		Progress: func(p blob.Progress) { tell.Progress(p.Bytes, p.AllBytes) },
		Wait:     func(w blob.Wait) { tell.Waiting(w.Reason) },
	}).UploadAll(ctx, all, nil)
}

// content is a file of an artifact store as an upload reads it.
type content struct{ artifact.Readable }

// Stat implements [blob.Content].
func (c content) Stat() (fs.FileInfo, error) { return fileInfo{c.File()}, nil }

// fileInfo is what is known of a file of an artifact store.
type fileInfo struct{ file artifact.File }

func (f fileInfo) Name() string       { return path.Base(f.file.Path) }
func (f fileInfo) Size() int64        { return f.file.Size }
func (f fileInfo) Mode() fs.FileMode  { return 0 } // a regular file
func (f fileInfo) ModTime() time.Time { return f.file.Modified }
func (f fileInfo) IsDir() bool        { return false }
func (f fileInfo) Sys() any           { return nil }
