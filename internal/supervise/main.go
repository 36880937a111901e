package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The exit codes of our own subcommand, besides the process's own in a
// container.
const (
	codeUsage  = 2
	codeFailed = 125
)

const usage = `usage: runner supervise DIR < LAUNCH
       runner supervise --launch-file FILE DIR
       runner supervise status DIR...
       runner supervise stop [--grace DURATION] DIR
       runner supervise clean DIR
       runner supervise log [--offset BYTES] [--follow] DIR
       runner supervise offset --since TIME DIR
       runner supervise program
`

// Main is the hidden subcommand "runner supervise"; args are what follows that
// word. It returns the exit code. A directory is an absolute path, so that
// none is taken for a word.
func Main(args []string, stdin io.Reader, stdout io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return codeUsage
	}
	var err error
	code := 0
	switch args[0] {
	case "clean":
		err = mainClean(args[1:])
	case "log":
		err = mainLog(args[1:], stdout)
	case "program":
		err = mainProgram(stdout)
	case "--launch-file":
		code, err = mainContainer(args[1:])
	default:
		if Answers(args) {
			err = Answer(context.Background(), args, stdout)
		} else {
			err = mainKeep(args, stdin, stdout)
		}
	}
	switch {
	case err == nil:
		return code
	case errors.Is(err, ErrUsage):
		fmt.Fprintf(os.Stderr, "error: %v\n%s", err, usage)
		return codeUsage
	default:
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return codeFailed
	}
}

// ErrUsage is a wrong command line.
var ErrUsage = errors.New("wrong arguments")

// Answers tells the subcommands that Answer carries out.
func Answers(args []string) bool {
	return len(args) > 0 && slices.Contains([]string{"status", "stop", "log", "offset"}, args[0])
}

// Answer carries out a subcommand that asks about supervised processes, or
// passes a wish on: a process of ours that lives already can do that. A log
// that is followed goes on until ctx ends.
func Answer(ctx context.Context, args []string, stdout io.Writer) error {
	switch args[0] {
	case "status":
		return mainStatus(args[1:], stdout)
	case "stop":
		return mainStop(args[1:])
	case "log":
		return writeLog(ctx, args[1:], stdout)
	case "offset":
		return mainOffset(args[1:], stdout)
	}
	return ErrUsage
}

// oneDir takes the only argument that is left.
func oneDir(args []string) (string, error) {
	if len(args) != 1 || !filepath.IsAbs(args[0]) {
		return "", fmt.Errorf("%w: one absolute directory is needed", ErrUsage)
	}
	return args[0], nil
}

// mainKeep is the detached supervisor.
func mainKeep(args []string, stdin io.Reader, stdout io.Writer) error {
	dir, err := oneDir(args)
	if err != nil {
		return err
	}
	launch, err := readLaunch(stdin)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, private); err != nil {
		return err
	}
	answer := func(s Status) {
		if err := json.NewEncoder(stdout).Encode(s); err != nil {
			fmt.Fprintln(os.Stderr, "error: nobody hears our answer:", err) // the process goes on
		}
		letGo()
	}
	_, err = keep(dir, launch, answer)
	return err
}

// mainContainer is the supervisor as process 1 of a container.
func mainContainer(args []string) (int, error) {
	if len(args) != 2 {
		return 0, fmt.Errorf("%w: a file and a directory are needed", ErrUsage)
	}
	dir, err := oneDir(args[1:])
	if err != nil {
		return 0, err
	}
	f, err := os.Open(args[0])
	if errors.Is(err, os.ErrNotExist) && wasStarted(dir) {
		return StatusOf(dir).ExitCode, nil // the engine started the container again; we do not
	}
	if err != nil {
		return 0, err
	}
	err = os.Remove(args[0]) // before a byte of it is used
	launch, readErr := readLaunch(f)
	if err := errors.Join(err, readErr, f.Close()); err != nil {
		return 0, err
	}
	return keep(dir, launch, func(Status) {})
}

// maxLaunch is how large a launch may be. Linux takes 6 MiB of arguments.
const maxLaunch = 64 << 20

// readLaunch reads a whole launch, or fails: one that was cut starts nothing.
func readLaunch(r io.Reader) (Launch, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxLaunch))
	if err != nil {
		return Launch{}, fmt.Errorf("read the launch: %w", err)
	}
	var l Launch
	if err := json.Unmarshal(data, &l); err != nil {
		return Launch{}, fmt.Errorf("read the launch: it is not whole: %w", err)
	}
	return l, l.Validate()
}

// letGo drops what ties us to the one who started us.
func letGo() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return // a root file system without /dev/null: nothing to hold on to
	}
	for fd := range 3 {
		_ = dup(int(null.Fd()), fd) // an unused descriptor at worst
	}
	_ = null.Close()  // the copies stay
	_ = os.Chdir("/") // so that no file system is kept in use
}

func mainStatus(args []string, stdout io.Writer) error {
	for _, dir := range args {
		if _, err := oneDir([]string{dir}); err != nil {
			return err
		}
	}
	return json.NewEncoder(stdout).Encode(StatusAll(args))
}

func mainStop(args []string) error {
	flags := flag.NewFlagSet("stop", flag.ContinueOnError)
	grace := flags.Duration("grace", 0, "")
	dir, err := parse(flags, args)
	if err != nil {
		return err
	}
	return Stop(dir, *grace)
}

func mainClean(args []string) error {
	dir, err := oneDir(args)
	if err != nil {
		return err
	}
	return Clean(context.Background(), dir)
}

func mainOffset(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("offset", flag.ContinueOnError)
	since := flags.String("since", "", "")
	dir, err := parse(flags, args)
	if err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, *since)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	offset, err := OffsetSince(dir, t)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, offset)
	return err
}

func parse(flags *flag.FlagSet, args []string) (dir string, err error) {
	var said strings.Builder
	flags.SetOutput(&said)
	if err := flags.Parse(args); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return oneDir(flags.Args())
}
