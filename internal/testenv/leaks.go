package testenv

import (
	"context"
	"encoding/json"
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

// cleanupContext is for work after a test, when its own context has ended.
func cleanupContext(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
}
