package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/settings"
)

// storageAccounts gives the rights to storage accounts that the settings name.
// A secret is read when it is used, so that a renewed one counts at once.
type storageAccounts struct {
	references map[string]string
	// stored gives a secret of runner secret set.
	stored func(ctx context.Context, name string) (string, error)
}

func (s *storageAccounts) credential(ctx context.Context, account string) (blob.Credential, error) {
	text := s.references[account]
	switch text {
	case "", settings.Identity:
		return blob.FromIdentity()
	case settings.Public:
		return blob.Credential{}, nil
	}
	secret, err := s.secret(ctx, text)
	if err != nil {
		return blob.Credential{}, fmt.Errorf("storage account %s: %w", account, err)
	}
	c, err := blob.FromSecret(account, secret)
	if err != nil {
		return c, fmt.Errorf("storage account %s: %w", account, err)
	}
	return c, nil
}

func (s *storageAccounts) secret(ctx context.Context, text string) (string, error) {
	ref, err := compute.ParseReference(text)
	if err != nil {
		return "", err
	}
	if name, ok := ref.Stored(); ok {
		if s.stored == nil {
			return "", errors.New("stored secrets cannot be read yet")
		}
		return s.stored(ctx, name)
	}
	return ref.Read("", os.LookupEnv)
}
