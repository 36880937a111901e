package ranks

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mpirun starts this program again as each process:
//
//	supervisor -> runner ranks -> mpirun -> runner ranks mpi-rank, which becomes the program
//
// That one knows its rank from mpirun, sets the variables that every framework
// gives, and opens its own named pipe to us as its output, so that lines come
// whole and with their rank whatever MPI it is.
const mpiWord = "mpi-rank"

// startMPI starts mpirun, whose own words come without a prefix.
func (l *launcher) startMPI(m meeting) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pipes := ""
	if m.processes > 1 {
		if pipes, err = os.MkdirTemp("", "runner-ranks-"); err != nil {
			return err
		}
		l.temporary = pipes
		for rank := range m.processes {
			r, err := namedPipe(pipes, rank)
			if err != nil {
				return err
			}
			l.carry(rankPrefix(rank), r)
		}
	}
	line := append(mpirunLine(), "-np", strconv.Itoa(m.processes), self, word, mpiWord,
		"--pipes", pipes, "--processes", strconv.Itoa(m.processes), "--port", strconv.Itoa(m.master), "--")
	cmd := exec.Command(MPIRun, append(line, l.config.Argv...)...)
	cmd.Env = append(os.Environ(), rootMay()...)
	if m.processes == 1 {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return l.begin(process{name: MPIRun}, cmd)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // mpirun has its own
	cmd.Stdout, cmd.Stderr = w, w
	l.carry("", r)
	return l.begin(process{name: MPIRun}, cmd)
}

func pipeName(dir string, rank int) string { return filepath.Join(dir, strconv.Itoa(rank)) }

// namedPipe makes one process's way to us. We hold it open for writing, too:
// there is no end before all have ended.
func namedPipe(dir string, rank int) (*os.File, error) {
	name := pipeName(dir, rank)
	if err := unix.Mkfifo(name, 0o600); err != nil {
		return nil, fmt.Errorf("make a pipe for rank %d: %w", rank, err)
	}
	return os.OpenFile(name, os.O_RDWR|unix.O_NONBLOCK, 0)
}

// versionPatience is how long mpirun may take to say what it is.
const versionPatience = 10 * time.Second

// mpirunLine are the options that let mpirun start what was asked for. Open MPI
// alone counts cores, binds to them and minds who we are; more are further
// options of its own.
func mpirunLine(more ...string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), versionPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, MPIRun, "--version")
	cmd.Env = append(os.Environ(), rootMay()...)
	said, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(said, []byte("Open MPI")) && !bytes.Contains(said, []byte("OpenRTE")) {
		return nil
	}
	line := append([]string{"--oversubscribe", "--bind-to", "none"}, more...)
	if os.Geteuid() == 0 {
		line = append(line, "--allow-run-as-root")
	}
	return line
}

// rootMay are the variables by which Open MPI lets root run it.
func rootMay() []string {
	if os.Geteuid() != 0 {
		return nil
	}
	return []string{"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "PRTE_ALLOW_RUN_AS_ROOT=1", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1"}
}

// rankVariables are where the MPIs say who a process is.
func rankVariables() []string {
	return []string{"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID"}
}

var errNoRank = errors.New("this MPI does not say which rank a process has")

// mpiRank becomes one process of MPI.
func mpiRank(args []string) error {
	flags := flag.NewFlagSet(mpiWord, flag.ContinueOnError)
	var said strings.Builder
	flags.SetOutput(&said)
	var m meeting
	flags.IntVar(&m.processes, "processes", 0, "")
	flags.IntVar(&m.master, "port", 0, "")
	pipes := flags.String("pipes", "", "")
	if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
		return fmt.Errorf("%w: %w", errUsage, errors.Join(err, errors.New("a process of MPI"))) //nolint:err113 // only we call it
	}
	variables := rankVariables()
	i := slices.IndexFunc(variables, func(name string) bool { return os.Getenv(name) != "" })
	if i < 0 {
		return errNoRank
	}
	rank, err := strconv.Atoi(os.Getenv(variables[i]))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRank, err)
	}
	m.world, m.address = m.processes, here
	if *pipes != "" {
		out, err := os.OpenFile(pipeName(*pipes, rank), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		// Fd, unlike the open file, blocks: the program gets an ordinary pipe.
		for _, fd := range []int{1, 2} {
			if err := dup(int(out.Fd()), fd); err != nil {
				return os.NewSyscallError("dup", err)
			}
		}
		_ = out.Close() // the copies stay
	}
	argv := flags.Args()
	file, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return os.NewSyscallError("exec", syscall.Exec(file, argv, withVariables(os.Environ(), m.variables(rank))))
}

// withVariables puts variables in place of what had their names.
func withVariables(env, variables []string) []string {
	kept := slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.ContainsFunc(variables, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	})
	return append(kept, variables...)
}
