package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// runnerLabel is the prefix of the labels that Runner puts on its containers.
const runnerLabel = "dev.runner."

// Leaks checks, after the test and everything it cleans up after this call, that no container of Runner's (one with
// a label that begins with dev.runner.) is left that was not there before. The engine is shared with other test
// processes: labels, each "key" or "key=value", narrow the check to this test's own containers, and a test that
// runs beside others of its kind must give one. What is left fails the test and is removed.
func Leaks(t testing.TB, e Engine, labels ...string) {
	t.Helper()
	before, err := e.runnerContainers(t.Context(), labels)
	if err != nil {
		t.Fatalf("testenv: list containers: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		after, err := e.runnerContainers(ctx, labels)
		if err != nil {
			t.Errorf("testenv: list containers: %v", err)
			return
		}
		for _, left := range after {
			if slices.ContainsFunc(before, func(b container) bool { return b.ID == left.ID }) {
				continue
			}
			t.Errorf("testenv: container left behind: %s", left)
			if err := e.ask(ctx, http.MethodDelete, "/containers/"+left.ID, url.Values{"force": {"1"}, "v": {"1"}}, nil); err != nil {
				t.Logf("testenv: remove %.12s: %v", left.ID, err)
			}
		}
	})
}

// container is what the engine's list says of a container.
type container struct {
	ID     string `json:"Id"`
	Names  []string
	Image  string
	State  string
	Labels map[string]string
	// Created in seconds since 1970.
	Created int64
}

func (c container) String() string {
	return fmt.Sprintf("%.12s %v %s of image %s, labels %v", c.ID, c.Names, c.State, c.Image, c.Labels)
}

// runnerContainers lists Runner's containers, running or not, that have all the given labels.
func (e Engine) runnerContainers(ctx context.Context, labels []string) ([]container, error) {
	filters, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		return nil, err
	}
	query := url.Values{"all": {"1"}}
	if len(labels) > 0 {
		query.Set("filters", string(filters))
	}
	var all []container
	if err := e.ask(ctx, http.MethodGet, "/containers/json", query, &all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c container) bool {
		for label := range c.Labels {
			if strings.HasPrefix(label, runnerLabel) {
				return false
			}
		}
		return true
	}), nil
}

// leftBehind is how old a container of Runner's must be to be one that a killed test left: no test takes so long.
const leftBehind = 30 * time.Minute

// sweep removes Runner's containers with all the given labels that were made before then. One that another process
// removes at the same time is fine.
func (e Engine) sweep(ctx context.Context, then time.Time, labels ...string) error {
	all, err := e.runnerContainers(ctx, labels)
	if err != nil {
		return fmt.Errorf("sweep: list containers: %w", err)
	}
	var problems []error
	for _, c := range all {
		if c.Created >= then.Unix() {
			continue
		}
		err := e.ask(ctx, http.MethodDelete, "/containers/"+c.ID, url.Values{"force": {"1"}, "v": {"1"}}, nil)
		if err != nil && !errors.Is(err, errNotFound) && !strings.Contains(err.Error(), "already in progress") {
			problems = append(problems, fmt.Errorf("sweep: remove %s: %w", c, err))
		}
	}
	return errors.Join(problems...)
}

// cleanupContext is for work after a test, when its own context has ended.
func cleanupContext(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
}
