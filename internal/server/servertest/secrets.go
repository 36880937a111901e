package servertest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/store"
)

// FakeSecrets are stored secrets in memory.
type FakeSecrets struct {
	mu     sync.Mutex
	stored map[string]string
}

// SetSecret stores one.
func (s *FakeSecrets) SetSecret(_ context.Context, name, value string) error {
	if err := compute.CheckSecretName(name); err != nil {
		return &controller.InvalidError{What: err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored == nil {
		s.stored = map[string]string{}
	}
	s.stored[name] = value
	return nil
}

// Secrets lists them.
func (s *FakeSecrets) Secrets(context.Context) ([]controller.SecretInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []controller.SecretInfo{}
	for name := range s.stored {
		list = append(list, controller.SecretInfo{Name: name, SetAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Targets: []string{}})
	}
	slices.SortFunc(list, func(a, b controller.SecretInfo) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// DeleteSecret forgets one.
func (s *FakeSecrets) DeleteSecret(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.stored[name]; !ok {
		return &store.NotFoundError{Kind: "secret", Name: name}
	}
	delete(s.stored, name)
	return nil
}
