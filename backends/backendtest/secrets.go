package backendtest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func secretCases() []Case {
	return []Case{
		{"secrets/reach the script", secretsReachTheScript},
		{"secrets/nowhere else", secretsNowhereElse},
	}
}

func withSecret(value string) func(*backends.Attempt) {
	return func(a *backends.Attempt) { a.Secrets = map[string]string{"HF_TOKEN": value} }
}

func secretsReachTheScript(w *world) {
	secret := "hf_" + rand.Text() + " 'ü\n" + rand.Text()
	digest := sha256.Sum256([]byte(secret))
	sum := hex.EncodeToString(digest[:])
	const script = `
import os, hashlib
print(hashlib.sha256(os.environb[b"HF_TOKEN"]).hexdigest())
`
	ref, o := w.carryOut(w.attempt("", w.script("s.py", files{"s.py": script}), withSecret(secret)))
	w.expect(o, run.OutcomeCompleted, 0, "")
	if got := strings.TrimSpace(w.log(ref)); got != sum {
		w.Errorf("the script saw another value: %s, want %s", got, sum)
	}
}

// secretsNowhereElse: not in the log though the script prints it, not on the
// disk once the attempt has started, not in what the engine tells.
func secretsNowhereElse(w *world) {
	secret := "hf_" + rand.Text() + rand.Text()
	ref := w.begin(w.attempt(`echo "token=$HF_TOKEN."; printf %s "$HF_TOKEN" | cut -c 1-10; echo ready; sleep 300`, withSecret(secret)))
	w.beganWith(ref, "ready")
	if got := w.log(ref); strings.Contains(got, secret) || !strings.Contains(got, "token=***.") {
		w.Errorf("log %q", got)
	}
	for _, dir := range w.target.Disk {
		for _, path := range holding(w, dir, secret) {
			w.Errorf("on the disk: %s", path)
		}
	}
	if w.target.Inspect != nil {
		if told := w.target.Inspect(w, ref); strings.Contains(told, secret) {
			w.Error("the engine tells the secret to whoever asks")
		}
	}
	w.must(w.backend.Stop(w.context(), ref, 0))
	w.ended(ref)
	if got := w.content(w.collect(ref), "logs/std_log.txt"); strings.Contains(got, secret) {
		w.Errorf("collected log %q", got)
	}
}

// holding lists the files below dir that hold text.
func holding(w *world, dir, text string) []string {
	w.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	w.must(err)
	return found
}
