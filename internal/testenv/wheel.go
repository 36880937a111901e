package testenv

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// wheel is a pure Python distribution of one module.
type wheel struct {
	name     string // as pip says it, with dashes
	version  string
	requires []string // PEP 508
	code     string   // of the module, which is named like the distribution with underscores
	script   string   // a command that calls the module's main(); empty for none
}

// wheels are what [PyIndex] serves.
func wheels() []wheel {
	greet := "import runner_words\n\n\ndef main():\n    print(runner_words.GREETING, __version__)\n"
	return []wheel{
		{name: "runner-words", version: "1.0", code: "GREETING = \"hello\"\n"},
		{name: "runner-words", version: "1.1", code: "GREETING = \"hello again\"\n"},
		{name: "runner-greet", version: "1.0", requires: []string{"runner-words<1.1"}, code: "__version__ = \"1.0\"\n" + greet, script: "runner-greet"},
		{name: "runner-greet", version: "2.0", requires: []string{"runner-words>=1.1"}, code: "__version__ = \"2.0\"\n" + greet, script: "runner-greet"},
		{name: "runner-alone", version: "0.1", code: "ANSWER = 42\n"},
		{name: "torch", version: "0.1", requires: []string{"numpy"}, code: torch},
		{name: "numpy", version: "0.1", code: ""},
	}
}

// torch stands for the real one where there is no GPU: it does what the script of docs/ssh.md asks of it, and names the
// devices that it may see.
const torch = `import os, types


class Tensor:
    def __init__(self, *shape, device="cuda"): self.shape = shape
    def __matmul__(self, other): return self
    def __getitem__(self, index): return self
    def cpu(self): return self
    def norm(self): return self
    def item(self): return float(self.shape[0])


randn = Tensor
cuda = types.SimpleNamespace(get_device_name=lambda n: "stand-in for " + os.environ["CUDA_VISIBLE_DEVICES"].split(",")[n])


def save(tensor, path):
    with open(path, "w") as f:
        f.write("tensor")
`

func (w wheel) module() string   { return strings.ReplaceAll(w.name, "-", "_") }
func (w wheel) filename() string { return w.module() + "-" + w.version + "-py3-none-any.whl" }

// pack makes the wheel file (PEP 427); the same wheel gives the same bytes.
func (w wheel) pack() ([]byte, error) {
	info := w.module() + "-" + w.version + ".dist-info/"
	var metadata strings.Builder
	fmt.Fprintf(&metadata, "Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: made by a test\nRequires-Python: >=3.7\n", w.name, w.version)
	for _, requirement := range w.requires {
		fmt.Fprintf(&metadata, "Requires-Dist: %s\n", requirement)
	}
	files := []struct{ name, content string }{
		{w.module() + ".py", w.code},
		{info + "METADATA", metadata.String()},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: runner-testenv\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	}
	if w.script != "" {
		files = append(files, struct{ name, content string }{
			info + "entry_points.txt", fmt.Sprintf("[console_scripts]\n%s = %s:main\n", w.script, w.module()),
		})
	}
	var record strings.Builder
	for _, file := range files {
		sum := sha256.Sum256([]byte(file.content))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", file.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(file.content))
	}
	fmt.Fprintf(&record, "%sRECORD,,\n", info)
	files = append(files, struct{ name, content string }{info + "RECORD", record.String()})

	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	for _, file := range files {
		header := &zip.FileHeader{Name: file.name, Method: zip.Deflate, Modified: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(0o644)
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write([]byte(file.content)); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
