package program

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// Finder finds this program for other kinds of machines. A nil one has only
// the program that runs.
type Finder struct {
	// Platform of the program that runs, "linux/amd64"; empty: what it was built
	// for.
	Platform string
	// Configured are files by platform, which somebody named.
	Configured map[string]string
	// Executable is the file of the program that runs: others are looked for
	// beside it. Empty: they are not.
	Executable string
	// Home is $RUNNER_HOME: others are looked for in its bin, where digests are
	// remembered, too. Empty: neither.
	Home string
}

// BinDir holds programs, under $RUNNER_HOME and under the root of a machine.
const BinDir = "bin"

// Program is a program that can be put on a machine.
type Program struct {
	// Digest of the file, in hex.
	Digest string
	// path of its file; empty: it is the program that runs.
	path, platform string
}

// Find gives the program for a platform, "linux/arm64". Its errors are
// *MissingError and *WrongError for what a person can mend.
func (f *Finder) Find(platform string) (*Program, error) {
	if f == nil {
		f = &Finder{}
	}
	if platform == f.own() {
		return f.Running()
	}
	if file, ok := f.Configured[platform]; ok {
		p, err := f.read(file, platform)
		if errors.Is(err, fs.ErrNotExist) {
			err = f.wrong(file, platform, "it is not there, and programs in config.yaml names it")
		}
		return p, err
	}
	looked := f.places(platform)
	for _, file := range looked {
		p, err := f.read(file, platform)
		if !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return nil, &MissingError{Platform: platform, Own: f.own(), Looked: looked}
}

// Running gives the program that runs.
func (f *Finder) Running() (*Program, error) {
	digest, err := OwnDigest(f.remembered())
	if err != nil {
		return nil, err
	}
	return &Program{Digest: digest, platform: f.own()}, nil
}

func (f *Finder) own() string {
	if f.Platform != "" {
		return f.Platform
	}
	return Own().Platform
}

// remembered is where digests are.
func (f *Finder) remembered() string {
	if f.Home == "" {
		return ""
	}
	return filepath.Join(f.Home, BinDir)
}

// FileName is what the file of a program for a platform is called.
func FileName(platform string) string { return "runner-" + strings.ReplaceAll(platform, "/", "-") }

// places are the files that a program for a platform may be, the first first.
func (f *Finder) places(platform string) (files []string) {
	add := func(dir string) {
		if file := filepath.Join(dir, FileName(platform)); !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	if f.Executable != "" {
		add(filepath.Dir(f.Executable))
		if resolved, err := filepath.EvalSymlinks(f.Executable); err == nil { // else it was replaced meanwhile
			add(filepath.Dir(resolved))
		}
	}
	if f.Home != "" {
		add(f.remembered())
	}
	return files
}

// read looks at a file, which must be this program for the platform. It is not
// started: it could not be.
func (f *Finder) read(path, platform string) (*Program, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, f.wrong(path, platform, "it cannot be read: "+reason(err))
	}
	defer func() { _ = file.Close() }() // only read
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, f.wrong(path, platform, "it is not a file")
	}
	info, err := buildinfo.Read(file)
	if err != nil || !ours(info) {
		return nil, f.wrong(path, platform, "it is not a runner")
	}
	b := buildOf(info)
	if b.Platform != platform {
		return nil, f.wrong(path, platform, "it was built for "+b.Platform)
	}
	if own := Own(); !own.sameSource(b) {
		return nil, f.wrong(path, platform, fmt.Sprintf("it was built from %s, and this one from %s", b.Source(), own.Source()))
	}
	if _, err := file.Seek(0, 0); err != nil {
		return nil, f.wrong(path, platform, "it cannot be read: "+reason(err))
	}
	digest, err := DigestIn(f.remembered(), file)
	if err != nil {
		return nil, f.wrong(path, platform, "it cannot be read: "+reason(err))
	}
	return &Program{Digest: digest, path: path, platform: platform}, nil
}

// ours tells a program that was built out of this module.
func ours(info *debug.BuildInfo) bool {
	own, ok := debug.ReadBuildInfo()
	return !ok || info.Main.Path == own.Main.Path
}

// reason is an error without the path that is said already.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func (f *Finder) wrong(path, platform, what string) *WrongError {
	return &WrongError{Path: path, Platform: platform, What: what, Build: Own()}
}

// Open opens its file; of the program that runs also when that was replaced.
func (p *Program) Open() (*os.File, error) {
	if p.path == "" {
		return openSelf()
	}
	return os.Open(p.path)
}

// Check compares what the program answered on a machine. The version that a
// linker named is known only there.
func (p *Program) Check(said Identity) error {
	own := Own()
	if p.path == "" || said.Build.same(own) {
		return nil
	}
	return &WrongError{
		Path: p.path, Platform: p.platform, Build: own,
		What: fmt.Sprintf("it says that it is %s, and this is %s", said.Build, own),
	}
}

// Mute is what it means that the program did not say on the machine what it is,
// but err.
func (p *Program) Mute(err error) error {
	if p.path == "" {
		return err
	}
	return &WrongError{Path: p.path, Platform: p.platform, Build: Own(), What: "on the machine it does not say what it is: " + err.Error()}
}
