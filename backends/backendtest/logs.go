package backendtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func logCases() []Case {
	return []Case{
		{"logs/binary", binaryLog},
		{"logs/big", bigLog},
		{"logs/offsets", logOffsets},
		{"logs/follow", followLog},
		{"logs/follow and leave", followAndLeave},
		{"logs/both streams", bothStreams},
	}
}

func binaryLog(w *world) {
	const script = `
import sys
sys.stdout.buffer.write(bytes(range(256)) * 41 + b"\r\n\x00no line end")
`
	ref, o := w.carryOut(w.attempt("", w.script("b.py", files{"b.py": script})))
	w.expect(o, run.OutcomeCompleted, 0, "")
	var all []byte
	for range 41 {
		for b := range 256 {
			all = append(all, byte(b))
		}
	}
	all = append(all, "\r\n\x00no line end"...)
	if got := w.log(ref); got != string(all) {
		w.Errorf("%d bytes came, %d written", len(got), len(all))
	}
	if got := w.content(w.collect(ref), "logs/std_log.txt"); got != string(all) {
		w.Errorf("%d bytes came home, %d written", len(got), len(all))
	}
}

func bigLog(w *world) {
	blocks := 256
	if testing.Short() {
		blocks = 16
	}
	const script = `
import sys, hashlib
block = b"".join(b"%07d abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n" % i for i in range(16384))[:1<<20]
for _ in range(int(sys.argv[1])):
    sys.stdout.buffer.write(block)
`
	ref, o := w.carryOut(w.attempt("", w.script("big.py", files{"big.py": script}, strconv.Itoa(blocks))))
	w.expect(o, run.OutcomeCompleted, 0, "")
	want := sha256.New()
	var block bytes.Buffer
	for i := range 16384 {
		block.WriteString(sevenDigits(i) + " abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n")
	}
	for range blocks {
		_, _ = want.Write(block.Bytes()[:min(block.Len(), 1<<20)])
	}
	r, err := w.openLog(w.context(), ref, backends.Source{}, 0)
	w.must(err)
	got := sha256.New()
	n, err := io.Copy(got, r)
	w.must(err)
	w.must(r.Close())
	if hex.EncodeToString(got.Sum(nil)) != hex.EncodeToString(want.Sum(nil)) {
		w.Errorf("%d bytes came, not what was written", n)
	}
}

func sevenDigits(i int) string {
	s := strconv.Itoa(i)
	return "0000000"[len(s):] + s
}

func logOffsets(w *world) {
	ref, _ := w.carryOut(w.attempt("printf 0123456789"))
	for offset, want := range map[int64]string{0: "0123456789", 1: "123456789", 9: "9", 10: "", 11: "", 1 << 40: ""} {
		if got := w.logFrom(ref, offset); got != want {
			w.Errorf("from %d: %q, want %q", offset, got, want)
		}
	}
}

// followLog: what is written is seen before the attempt ends, and the end of
// the attempt is the end of the log.
func followLog(w *world) {
	a := w.attempt(`echo one; sleep 1; echo two; printf three`)
	ref := w.begin(a)
	r, err := w.openLog(w.context(), ref, backends.Source{Follow: true}, 1)
	w.must(err)
	lines := bufio.NewReader(r)
	first, err := lines.ReadString('\n')
	w.must(err)
	if first != "ne\n" {
		w.Errorf("first line %q", first)
	}
	if o := w.observe(ref); o.Phase != backends.Running {
		w.Errorf("the first line came when the attempt was %s", describe(o))
	}
	rest, err := io.ReadAll(lines)
	w.must(err)
	if string(rest) != "two\nthree" {
		w.Errorf("rest %q", rest)
	}
	w.must(r.Close())
	w.expect(w.ended(ref), run.OutcomeCompleted, 0, "")
	r, err = w.openLog(w.context(), ref, backends.Source{Follow: true}, 0)
	w.must(err)
	all, err := io.ReadAll(r)
	w.must(err)
	w.must(r.Close())
	if string(all) != "one\ntwo\nthree" {
		w.Errorf("followed after the end: %q", all)
	}
}

func followAndLeave(w *world) {
	ref := w.begin(w.attempt("echo one; sleep 300"))
	ctx, cancel := context.WithCancel(w.context())
	r, err := w.openLog(ctx, ref, backends.Source{Follow: true}, 0)
	w.must(err)
	buffer := make([]byte, 4)
	_, err = io.ReadFull(r, buffer)
	w.must(err)
	time.AfterFunc(50*time.Millisecond, cancel)
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = r.Read(buffer)
	}()
	select {
	case <-left:
	case <-time.After(patience):
		w.Fatal("a follower that left is still there")
	}
	w.must(r.Close())
	w.running(ref)
}

func bothStreams(w *world) {
	ref, _ := w.carryOut(w.attempt("echo out; echo err >&2; echo out again"))
	if got := w.log(ref); got != "out\nerr\nout again\n" {
		w.Errorf("log %q", got)
	}
}
