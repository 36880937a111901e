package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/runnerml/runner/internal/testenv"
)

const (
	blobConnections = 8
	blobContainer   = "bench"
	blobSmall       = 20 << 10
)

// benchBlob: files to and from Azure Blob Storage, which is Azurite on this
// machine, next to curl with as many connections. No network is between, and
// Azurite is the slowest of all that take part: what is seen is whether anything
// of ours keeps it waiting.
func benchBlob(ctx context.Context, l *lab) (rows []row, err error) {
	b, err := newBlobBench(ctx, l)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	large := int64(l.count(1<<30, 1<<26))
	small := l.count(5000, 500)
	for _, set := range []struct {
		name  string
		files []blobFile
		parts int // into how many curl takes one file apart
	}{
		{fmt.Sprintf("1 x %d MiB", large>>20), []blobFile{{"large", large}}, blobConnections},
		{fmt.Sprintf("%d x 20 KiB", small), manyFiles(small), 1},
	} {
		some, err := b.compare(ctx, set.name, set.files, set.parts)
		rows = append(rows, some...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

type blobFile struct {
	name string
	size int64
}

func manyFiles(n int) []blobFile {
	all := make([]blobFile, n)
	for i := range all {
		all[i] = blobFile{fmt.Sprintf("%02d/%05d", i%50, i), blobSmall}
	}
	return all
}

// blobBench is a Blob service and a right to it.
type blobBench struct {
	l       *lab
	dir     string
	service testenv.BlobService
	sas     string
	cmd     *exec.Cmd
	n       int
}

func newBlobBench(ctx context.Context, l *lab) (_ *blobBench, err error) {
	b := &blobBench{l: l}
	if b.dir, err = os.MkdirTemp(l.dir, "blob-"); err != nil {
		return nil, err
	}
	if b.service, b.cmd, err = testenv.AzuriteCommand(ctx, b.dir); err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	upCtx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !b.service.Answers(upCtx) {
		select {
		case <-upCtx.Done():
			return nil, fmt.Errorf("azurite does not answer: %w", context.Cause(upCtx))
		case <-tick.C:
		}
	}
	return b, b.prepare(ctx)
}

func (b *blobBench) prepare(ctx context.Context) error {
	key, err := service.NewSharedKeyCredential(b.service.Account, b.service.Key)
	if err != nil {
		return err
	}
	transport := b.service.Trust.Transport()
	defer transport.CloseIdleConnections()
	options := &service.ClientOptions{}
	options.Transport = &http.Client{Transport: transport}
	client, err := service.NewClientWithSharedKeyCredential(b.service.Endpoint(), key, options)
	if err != nil {
		return err
	}
	if _, err := client.CreateContainer(ctx, blobContainer, nil); err != nil {
		return err
	}
	signed, err := sas.BlobSignatureValues{
		ContainerName: blobContainer, ExpiryTime: time.Now().UTC().Add(24 * time.Hour),
		Permissions: (&sas.ContainerPermissions{Read: true, Write: true, Create: true, List: true}).String(),
	}.SignWithSharedKey(key)
	if err != nil {
		return err
	}
	b.sas = signed.Encode()
	return nil
}

func (b *blobBench) close() error {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	return os.RemoveAll(b.dir)
}

func (b *blobBench) url(name string) string {
	return b.service.Endpoint() + "/" + blobContainer + "/" + name + "?" + b.sas
}

// carried is one transfer: bytes a second, peak memory, and the CPU seconds of
// whoever carried it out and of the service meanwhile.
type carried struct{ rate, peak, cpu, service float64 }

// compare sends a set of files and fetches it, in turn with us and with curl.
func (b *blobBench) compare(ctx context.Context, name string, files []blobFile, parts int) (rows []row, err error) {
	src := filepath.Join(b.dir, "src")
	defer func() { err = errors.Join(err, os.RemoveAll(src)) }()
	var bytes int64
	for _, f := range files {
		bytes += f.size
		if err := randomFile(filepath.Join(src, f.name), f.size); err != nil {
			return nil, err
		}
	}
	// So that curl has as many connections for one file, it gets it in parts.
	pieces := files
	if parts > 1 {
		pieces = nil
		for i := range parts {
			pieces = append(pieces, blobFile{fmt.Sprintf("part%d", i), bytes / int64(parts)})
			if err := randomFile(filepath.Join(src+".parts", pieces[i].name), pieces[i].size); err != nil {
				return nil, err
			}
		}
		defer func() { err = errors.Join(err, os.RemoveAll(src+".parts")) }()
	}
	repeat := b.l.count(3, 1)
	var last string
	up, curlUp, err := interleave(repeat,
		func() (carried, error) {
			last = b.prefix()
			return b.ours(ctx, blobTransfer{Up: true, Prefix: last, Dir: src}, bytes)
		},
		func() (carried, error) {
			from := src
			if parts > 1 {
				from = src + ".parts"
			}
			return b.curl(ctx, b.uploads(from, b.prefix(), pieces), bytes)
		})
	if err != nil {
		return nil, err
	}
	down, curlDown, err := interleave(repeat,
		func() (carried, error) {
			return b.fetched(func(dir string) (carried, error) {
				return b.ours(ctx, blobTransfer{Prefix: last, Dir: dir}, bytes)
			})
		},
		func() (carried, error) {
			return b.fetched(func(dir string) (carried, error) {
				return b.curl(ctx, b.downloads(dir, last, files, parts), bytes)
			})
		})
	if err != nil {
		return nil, err
	}
	const enough, most = 0.8, 100 << 20
	for _, way := range []struct {
		name       string
		ours, curl []carried
	}{{"upload", up, curlUp}, {"download", down, curlDown}} {
		of := way.name + " of " + name
		take := func(value func(carried) float64) (ours, bare []float64) {
			return pick(way.ours, value), pick(way.curl, value)
		}
		ours, bare := take(func(c carried) float64 { return c.rate })
		rows = append(rows, newRow(of+" (bare: curl, as many connections)", bytesPerSecond, ratio, ours, bare, atLeast(enough)))
		ours, bare = take(func(c carried) float64 { return c.cpu })
		rows = append(rows, newRow("CPU time, "+of, seconds, alone, ours, bare, nil))
		ours, bare = take(func(c carried) float64 { return c.service })
		rows = append(rows, newRow("Azurite's CPU time, "+of, seconds, alone, ours, bare, nil))
		ours, _ = take(func(c carried) float64 { return c.peak })
		rows = append(rows, newRow("peak memory, "+of, byteCount, alone, ours, nil, atMost(most)))
	}
	return rows, nil
}

func (b *blobBench) prefix() string {
	b.n++
	return fmt.Sprintf("p%d", b.n)
}

// fetched is a transfer into a directory that goes afterwards.
func (b *blobBench) fetched(fetch func(dir string) (carried, error)) (_ carried, err error) {
	dir, err := os.MkdirTemp(b.dir, "out-")
	if err != nil {
		return carried{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return fetch(dir)
}

// timed carries something out, and counts what it took.
func (b *blobBench) timed(bytes int64, carry func() (peak, cpu float64, err error)) (c carried, err error) {
	before, err := cpuOf(b.cmd.Process.Pid)
	if err != nil {
		return c, err
	}
	began := time.Now()
	if c.peak, c.cpu, err = carry(); err != nil {
		return c, err
	}
	c.rate = float64(bytes) / time.Since(began).Seconds()
	after, err := cpuOf(b.cmd.Process.Pid)
	c.service = after - before
	return c, err
}

// ours is a transfer by a process of its own.
func (b *blobBench) ours(ctx context.Context, job blobTransfer, bytes int64) (carried, error) {
	job.Connection, job.CA = b.service.ConnectionString(b.service.Addr), b.service.Trust.File
	return b.timed(bytes, func() (float64, float64, error) { return job.start(ctx) })
}

// curl carries out a config file.
func (b *blobBench) curl(ctx context.Context, config string, bytes int64) (carried, error) {
	path := filepath.Join(b.dir, "curl.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return carried{}, err
	}
	cmd := exec.CommandContext(ctx, "curl", "--parallel", "--parallel-max", fmt.Sprint(blobConnections), "--config", path)
	return b.timed(bytes, func() (float64, float64, error) {
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, 0, fmt.Errorf("curl: %w\n%s", err, out)
		}
		return peakOf(cmd), cpuTime(cmd), nil
	})
}

func (b *blobBench) uploads(src, prefix string, files []blobFile) string {
	return b.config(files, func(f blobFile) string {
		return fmt.Sprintf("url = %q\nupload-file = %q\nheader = \"x-ms-blob-type: BlockBlob\"\noutput = \"/dev/null\"\n",
			b.url(prefix+"/"+f.name), filepath.Join(src, f.name))
	})
}

// downloads of whole files, or of each in parts.
func (b *blobBench) downloads(dst, prefix string, files []blobFile, parts int) string {
	if parts == 1 {
		return b.config(files, func(f blobFile) string {
			return fmt.Sprintf("url = %q\noutput = %q\ncreate-dirs\n", b.url(prefix+"/"+f.name), filepath.Join(dst, f.name))
		})
	}
	pieces := make([]blobFile, parts)
	at := int64(0)
	return b.config(pieces, func(blobFile) string {
		size := files[0].size / int64(parts)
		at += size
		return fmt.Sprintf("url = %q\nrange = %d-%d\noutput = %q\n", b.url(prefix+"/"+files[0].name), at-size, at-1, filepath.Join(dst, fmt.Sprint(at)))
	})
}

func (b *blobBench) config(files []blobFile, entry func(blobFile) string) string {
	entries := make([]string, len(files))
	for i, f := range files {
		entries[i] = fmt.Sprintf("silent\nshow-error\nfail\ncacert = %q\n", b.service.Trust.File) + entry(f)
	}
	return strings.Join(entries, "next\n")
}

func randomFile(path string, size int64) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.CopyN(f, rand.Reader, size)
	return err
}
