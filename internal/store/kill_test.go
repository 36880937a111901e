package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

const (
	writerDB    = "STORE_TEST_WRITER_DB"
	writerRound = "STORE_TEST_WRITER_ROUND"
)

// runWriterProcess is what the test binary does when TestKill starts it: it
// changes runs from several goroutines for ever and writes "id seq" to stdout
// once a change is said to be committed.
func runWriterProcess() bool {
	path := os.Getenv(writerDB)
	if path == "" {
		return false
	}
	s, err := store.Open(context.Background(), path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() { writeForEver(s, os.Getenv(writerRound), g) })
	}
	wg.Wait()
	return true
}

func writeForEver(s *store.Store, round string, g int) {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for i := 0; ; i++ {
		r := newRun(fmt.Sprintf("kill-%s-%d-%d", round, g, i))
		r.Experiment = round
		_, _, err := s.CreateRun(ctx, r, r.ID, map[string][]byte{"A": []byte("sealed")})
		check(err)
		fmt.Println(r.ID, 1)
		for _, to := range []run.State{run.Preparing, run.Starting, run.Running, run.Finalizing, run.Completed} {
			r, err := s.Update(ctx, r.ID, withAttempt(to))
			check(err)
			fmt.Println(r.ID, indexOf(to)+1)
		}
	}
}

func indexOf(s run.State) int {
	for i, k := range run.States {
		if k == s {
			return i
		}
	}
	return -1
}

// withAttempt moves a run and its attempt on together.
func withAttempt(to run.State) func(*run.Run) ([]run.Event, error) {
	return func(r *run.Run) ([]run.Event, error) {
		if to == run.Preparing {
			r.Attempts = append(r.Attempts, run.Attempt{Number: 1, Allocation: run.Allocation{CPUs: 1}})
		}
		r.Last().State = to
		r.Message = string(to)
		return step(to)(r)
	}
}

// TestKill kills a writing process with SIGKILL again and again: what it said
// was committed is there, and every run is of one piece.
func TestKill(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	path := filepath.Join(t.TempDir(), "runner.db")
	for round := range rounds {
		acked := killedWriter(t, path, strconv.Itoa(round), 10+rand.IntN(200))
		checkAfterKill(t, path, strconv.Itoa(round), acked)
		if t.Failed() {
			return
		}
	}
}

// killedWriter lets a process write, kills it after so many answers, and
// returns all that it gave: the last event by run.
func killedWriter(t *testing.T, path, round string, answers int) map[string]int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerDB+"="+path, writerRound+"="+round)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := map[string]int{}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var id string
		var seq int
		if _, err := fmt.Sscan(lines.Text(), &id, &seq); err != nil {
			break // the last line may be cut
		}
		acked[id] = max(acked[id], seq)
		if n == answers {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return acked
}

func checkAfterKill(t *testing.T, path, round string, acked map[string]int) {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	runs, err := s.List(t.Context(), store.Filter{Experiment: round, Specs: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		events, err := s.Events(t.Context(), r.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) < acked[r.ID] {
			t.Errorf("%s: %d events, %d were said to be committed", r.ID, len(events), acked[r.ID])
		}
		delete(acked, r.ID)
		sealed, err := s.Sealed(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if (len(sealed) == 0) != r.State.Ended() || r.Config == nil || r.ResolvedEnvironment == nil {
			t.Errorf("%s is not of one piece: %d secrets, %+v", r.ID, len(sealed), r)
		}
		checkOnePiece(t, r, events)
	}
	for id, seq := range acked {
		t.Errorf("%s is gone; event %d was said to be committed", id, seq)
	}
}

func checkOnePiece(t *testing.T, r run.Run, events []run.Event) {
	t.Helper()
	for i, e := range events {
		if e.Seq != i+1 || i > 0 && e.From != events[i-1].To {
			t.Errorf("%s: event %d is %+v", r.ID, i+1, e)
		}
	}
	if len(events) == 0 || events[len(events)-1].To != r.State {
		t.Fatalf("%s is %s, its events say %v", r.ID, r.State, events)
	}
	if r.State == run.Queued {
		if len(r.Attempts) != 0 {
			t.Errorf("%s waits and has an attempt", r.ID)
		}
		return
	}
	if len(r.Attempts) != 1 || r.Attempts[0].State != r.State || r.Message != string(r.State) {
		t.Errorf("%s is %s (%q), its attempts %+v", r.ID, r.State, r.Message, r.Attempts)
	}
}
