package ranks

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// fakeMPI is an mpirun that says of itself what MPICH says, and starts what it
// is told as MPICH does.
const fakeMPI = `#!/bin/sh
[ "$1" = --version ] && { echo HYDRA build details; exit; }
[ "$1" = -np ] || { echo "unknown: $1" >&2; exit 9; }
n=$2; shift 2; pids=
i=0; while [ $i -lt $n ]; do PMI_RANK=$i "$@" & pids="$pids $!"; i=$((i+1)); done
code=0; for p in $pids; do wait $p || code=$?; done
exit $code
`

const sayWho = `echo "I am $RANK of $WORLD_SIZE at $MASTER_ADDR:${MASTER_PORT:+port}"; echo "$LOCAL_RANK$NODE_RANK" >&2`

func checkMPI(t *testing.T, env ...string) {
	t.Helper()
	const n = 3
	l := start(t, Config{Processes: n, Framework: MPI, Argv: shell(sayWho)}, env...)
	if s := l.wait(); s != 0 {
		t.Fatalf("status %#x, %s%s", s, l.out.String(), l.err.String())
	}
	for rank := range n {
		for _, want := range []string{"I am %d of 3 at 127.0.0.1:port", "%d0"} {
			if line := fmt.Sprintf("[rank %d] "+want+"\n", rank, rank); !strings.Contains(l.out.String(), line) {
				t.Errorf("no %q in:\n%s", line, l.out.String())
			}
		}
	}
	began := time.Now()
	l = start(t, Config{Processes: 2, Framework: MPI, Argv: shell(`[ $RANK = 1 ] && exit 3; exec sleep 30`)}, env...)
	s := l.wait()
	if s.ExitStatus() != 3 || !strings.HasSuffix(l.out.String(), "runner: mpirun ended with exit code 3\n") {
		t.Errorf("status %#x, %s%s", s, l.out.String(), l.err.String())
	}
	t.Logf("ended after %s", time.Since(began))
	one := start(t, Config{Processes: 1, Framework: MPI, Argv: shell(`echo "$RANK $WORLD_SIZE"`)}, env...)
	if s := one.wait(); s != 0 {
		t.Errorf("status %#x, %s", s, one.err.String())
	}
	if diff := cmp.Diff("0 1\n", one.out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOtherMPI(t *testing.T) {
	dir := t.TempDir()
	fake := strings.Replace(fakeMPI, "wait $p || code=$?", "wait $p || { c=$?; [ $code = 0 ] && code=$c; kill $pids 2>/dev/null; }", 1)
	fake = strings.Replace(fake, "for p in $pids", "for p in $(echo $pids | tr ' ' '\\n' | sort -rn)", 1)
	if err := os.WriteFile(filepath.Join(dir, MPIRun), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	checkMPI(t, "PATH="+dir+":"+os.Getenv("PATH"), "TMPDIR="+temporary)
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestOpenMPI(t *testing.T) {
	_, err := exec.LookPath(MPIRun)
	testenv.Need(t, "Open MPI", err)
	checkMPI(t)
}
