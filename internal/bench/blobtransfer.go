package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/runnerml/runner/internal/blob"
)

// blobTransfer is a transfer that a process of its own carries out, so that its
// memory is its own.
type blobTransfer struct {
	Connection string
	CA         string
	Up         bool // or down
	Prefix     string
	Dir        string
}

// start runs it in a copy of this program and gives its peak memory in bytes and
// its CPU time in seconds.
func (job blobTransfer) start(ctx context.Context) (peak, cpu float64, err error) {
	raw, err := json.Marshal(job)
	if err != nil {
		return 0, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, self, "blobtransfer")
	cmd.Stdin = strings.NewReader(string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("transfer: %w", err)
	}
	peak, err = strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	return peak, cpuTime(cmd), err
}

// blobTransferMain is the copy's main.
func blobTransferMain() int {
	var job blobTransfer
	err := json.NewDecoder(os.Stdin).Decode(&job)
	if err == nil {
		err = job.carry(context.Background())
	}
	peak, memoryErr := memoryOf(os.Getpid(), "VmHWM")
	if err != nil || memoryErr != nil {
		fmt.Fprintln(os.Stderr, err, memoryErr)
		return 1
	}
	fmt.Println(peak)
	return 0
}

func (job blobTransfer) carry(ctx context.Context) error {
	pem, err := os.ReadFile(job.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	cred, err := blob.FromConnectionString(job.Connection)
	if err != nil {
		return err
	}
	c, err := blob.Open(blob.Location{Account: "runnertest", Container: blobContainer, Path: job.Prefix}, cred,
		blob.Options{RootCAs: roots, Connections: blobConnections})
	if err != nil {
		return err
	}
	defer c.Close()
	if !job.Up {
		var all []blob.Download
		for b, err := range c.List(ctx, "") {
			if err != nil {
				return err
			}
			all = append(all, blob.Download{Blob: b, To: filepath.Join(job.Dir, b.Name)})
		}
		return c.DownloadAll(ctx, all)
	}
	var all []blob.Upload
	err = filepath.WalkDir(job.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(job.Dir, path)
		all = append(all, blob.Upload{From: path, Name: filepath.ToSlash(name)})
		return err
	})
	if err != nil {
		return err
	}
	return c.UploadAll(ctx, all, nil)
}
