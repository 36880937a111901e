package controller

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"
)

// sealer keeps secret values unreadable in the store: age, with a key in a
// file of mode 0600 beside it.
type sealer struct{ identity *age.X25519Identity }

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
		return nil, fmt.Errorf("the key that seals secrets is damaged: %s", path)
	}
	return &sealer{identity: id}, nil
}

func newSealer(path string) (*sealer, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make the key that seals secrets: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(id.String()+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("store the key that seals secrets: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, fmt.Errorf("store the key that seals secrets: %w", err)
	}
	return &sealer{identity: id}, nil
}

func (s *sealer) seal(value string) ([]byte, error) {
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
