package controller

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// sealer keeps secret values unreadable in the store: age, with a key in a
// file of mode 0600 beside it.
type sealer struct {
	identity *age.X25519Identity
	// damaged is why there is no identity: only what needs it fails.
	damaged error
}

// KeyError is a key file that is damaged.
type KeyError struct{ Path string }

func (e *KeyError) Error() string { return "the key that seals secrets is damaged: " + e.Path }

// Hint says what a person can do.
func (e *KeyError) Hint() string {
	return "put the file back from a backup; or move it away, and give again the secrets of runs and targets that have some"
}

// openSealer reads the key file, or makes it.
func openSealer(path string) (*sealer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSealer(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key that seals secrets: %w", err)
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(data)))
	if err != nil {
		return &sealer{damaged: &KeyError{Path: path}}, nil //nolint:nilerr // told when a key is needed
	}
	return &sealer{identity: id}, nil
}

func newSealer(path string) (*sealer, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make the key that seals secrets: %w", err)
	}
	if err := storeKey(path, id.String()+"\n"); err != nil {
		return nil, fmt.Errorf("store the key that seals secrets: %w", err)
	}
	return &sealer{identity: id}, nil
}

// storeKey writes the file whole or not at all, also over a loss of power.
func storeKey(path, text string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s *sealer) seal(value string) ([]byte, error) {
	if s.damaged != nil {
		return nil, s.damaged
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.identity.Recipient())
	if err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	if _, err := io.WriteString(w, value); err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	return out.Bytes(), nil
}

func (s *sealer) open(sealed []byte) (string, error) {
	if s.damaged != nil {
		return "", s.damaged
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), s.identity)
	if err != nil {
		return "", fmt.Errorf("open a sealed secret: %w", err)
	}
	value, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("open a sealed secret: %w", err)
	}
	return string(value), nil
}
