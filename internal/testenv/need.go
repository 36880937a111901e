package testenv

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// startTimeout bounds the making of an engine from nothing; building the base image (about a minute) is the longest part.
const startTimeout = 8 * time.Minute

// errNeedsRoot says that an engine can only be started by root.
var errNeedsRoot = errors.New("needs root")

// Need ends a test that cannot have the engine it needs; a nil error means that it has it. In CI (the variable
// CI is set) and as root, who can install whatever is missing, the test fails. On a developer's own machine
// without root it is skipped.
func Need(t testing.TB, engine string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") != "" || os.Geteuid() == 0:
		t.Fatalf("NEEDS %s, which did not start: %v\n(go run ./internal/testenv/cmd/testenv install, as root, installs what is missing)", engine, err)
	default:
		t.Skipf("SKIPPED, NOT TESTED: needs %s, which did not start: %v\n(run the tests as root)", engine, err)
	}
}

// begin calls start with the test's context, says how long it took, and ends the test when it failed.
func begin[T any](t testing.TB, engine string, start func(context.Context) (T, error)) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	began := time.Now()
	engineStarted, err := start(ctx)
	Need(t, engine, err)
	t.Logf("testenv: %s ready in %s", engine, time.Since(began).Round(time.Millisecond))
	return engineStarted
}

// Root ends a test that cannot do what only root can, as Need does.
func Root(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Need(t, what, errNeedsRoot)
	}
}
