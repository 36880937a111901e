package program_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/program"
)

// ours is this test's platform, and theirs one that is said to be ours.
const (
	ours   = runtime.GOOS + "/" + runtime.GOARCH
	theirs = "plan9/386"
)

// build makes a program of this house, for this platform.
func build(t *testing.T) (content []byte, digest string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "silent")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", bin, "./testdata/silent").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return content, hex.EncodeToString(sum[:])
}

func TestFind(t *testing.T) {
	good, digest := build(t)
	name := program.FileName(ours)
	for _, c := range []struct {
		name string
		// files below the test's directory, where {} stands for it; content nil: the
		// good program
		files      map[string][]byte
		configured map[string]string
		platform   string
		want       string // the file; else what is wrong, and the hint
		wrong      string
		hint       string
	}{
		{
			name: "named in the settings", platform: ours, configured: map[string]string{ours: "{}/any"},
			files: map[string][]byte{"any": nil, "exe/" + name: []byte("not looked at"), "home/bin/" + name: []byte("not looked at")}, want: "any",
		},
		{
			name: "beside the executable", platform: ours, files: map[string][]byte{"exe/" + name: nil, "home/bin/" + name: []byte("not looked at")}, want: "exe/" + name,
		},
		{
			name: "beside what the executable is a link to", platform: ours, files: map[string][]byte{"real/" + name: nil}, want: "real/" + name,
		},
		{
			name: "in the home", platform: ours, configured: map[string]string{"linux/riscv64": "/nowhere"}, files: map[string][]byte{"home/bin/" + name: nil}, want: "home/bin/" + name,
		},
		{
			name: "nowhere", platform: "linux/arm64",
			wrong: "the machine is linux/arm64, this runner is for " + theirs + ", and there is no runner for linux/arm64 (looked for {}/exe/runner-linux-arm64, {}/real/runner-linux-arm64, {}/home/bin/runner-linux-arm64)",
			hint:  "in the source of {BUILD}, make cross makes bin/runner-linux-arm64; put it into {}/exe or {}/home/bin, or name it in config.yaml: programs: {linux/arm64: PATH}",
		},
		{
			name: "nowhere, and built by nobody", platform: "linux/riscv64",
			wrong: "the machine is linux/riscv64, .*",
			hint:  "in the source of {BUILD}, make cross CROSS=linux/riscv64 makes bin/runner-linux-riscv64; put it into .*",
		},
		{
			name: "the settings name one that is not there", platform: ours, configured: map[string]string{ours: "{}/nowhere"}, files: map[string][]byte{"exe/" + name: nil},
			wrong: "{}/nowhere cannot be used as the runner for " + ours + ": it is not there, and programs in config.yaml names it",
			hint:  "in the source of {BUILD}, make cross makes bin/" + name + "; put it there in its place",
		},
		{
			name: "for another platform", platform: "linux/s390x", files: map[string][]byte{"exe/runner-linux-s390x": nil},
			wrong: "{}/exe/runner-linux-s390x cannot be used as the runner for linux/s390x: it was built for " + ours, hint: ".* CROSS=linux/s390x .*",
		},
		{
			name: "something else", platform: ours, files: map[string][]byte{"exe/" + name: []byte("#!/bin/sh\n"), "home/bin/" + name: nil},
			wrong: "{}/exe/" + name + " cannot be used as the runner for " + ours + ": it is not a runner", hint: ".*",
		},
		{
			name: "a directory", platform: ours, files: map[string][]byte{"exe/" + name + "/x": nil},
			wrong: "{}/exe/" + name + " cannot be used as the runner for " + ours + ": it is not a file", hint: ".*",
		},
		{
			name: "half of it", platform: ours, files: map[string][]byte{"exe/" + name: good[:len(good)/100]},
			wrong: "{}/exe/" + name + " cannot be used as the runner for " + ours + ": it is not a runner", hint: ".*",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			in := strings.NewReplacer("{}", dir, "{BUILD}", program.Own().String())
			write := func(file string, content []byte) {
				path := filepath.Join(dir, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			write("real/runner", nil)
			write("home/bin/runner", nil)
			err := errors.Join(os.Mkdir(filepath.Join(dir, "exe"), 0o700), os.Symlink("../real/runner", filepath.Join(dir, "exe", "runner")))
			if err != nil {
				t.Fatal(err)
			}
			for file, content := range c.files {
				if content == nil {
					content = good
				}
				write(file, content)
			}
			f := &program.Finder{Platform: theirs, Configured: map[string]string{}, Executable: filepath.Join(dir, "exe", "runner"), Home: filepath.Join(dir, "home")}
			for platform, file := range c.configured {
				f.Configured[platform] = in.Replace(file)
			}
			p, err := f.Find(c.platform)
			if c.want == "" {
				wantError(t, err, in.Replace(c.wrong), in.Replace(c.hint))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			file, err := p.Open()
			if err != nil {
				t.Fatal(err)
			}
			if file.Name() != filepath.Join(dir, c.want) || p.Digest != digest {
				t.Errorf("found %s with digest %s", file.Name(), p.Digest)
			}
			_ = file.Close() // only read
		})
	}
}

// wantError compares an error and its hint; .* at the end stands for any rest.
func wantError(t *testing.T, err error, message, hint string) {
	t.Helper()
	h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	for _, one := range []struct{ got, want string }{{h.Error(), message}, {h.Hint(), hint}} {
		middle := strings.Trim(one.want, ".*")
		fits := one.got == one.want || middle != one.want && strings.Contains(one.got, middle)
		if !fits {
			t.Errorf("it said\n%s\nnot\n%s", one.got, one.want)
		}
	}
}

// The program that runs is for its own platform, whoever looks for it.
func TestFindOwn(t *testing.T) {
	for name, f := range map[string]*program.Finder{"nobody": nil, "anybody": {Executable: "/nowhere/runner", Home: t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			p, err := f.Find(ours)
			if err != nil {
				t.Fatal(err)
			}
			digest, err := program.OwnDigest("")
			if err != nil || p.Digest != digest {
				t.Errorf("digest %s, not %s; %v", p.Digest, digest, err)
			}
			if err := p.Check(program.Identity{Build: program.Build{Version: "whatever"}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// What it says of itself on the machine decides.
func TestCheck(t *testing.T) {
	good, _ := build(t)
	home := t.TempDir()
	file := filepath.Join(home, program.BinDir, program.FileName(ours))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, good, 0o600)); err != nil {
		t.Fatal(err)
	}
	p, err := (&program.Finder{Platform: theirs, Home: home}).Find(ours)
	if err != nil {
		t.Fatal(err)
	}
	own := program.Own()
	if err := p.Check(program.Identity{Build: own}); err != nil {
		t.Error(err)
	}
	wantError(t, p.Check(program.Identity{Build: program.Build{Version: "v0.0.1", Commit: "abc"}}),
		file+" cannot be used as the runner for "+ours+": it says that it is v0.0.1 (abc), and this is "+own.String(), ".*")
	wantError(t, p.Mute(errors.New("exit code 2")),
		file+" cannot be used as the runner for "+ours+": on the machine it does not say what it is: exit code 2", ".*")
}
