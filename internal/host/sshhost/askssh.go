package sshhost

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kevinburke/ssh_config"
)

// sshConfig is the user's ssh configuration.
type sshConfig struct {
	words sshWords
	// both is a file that includes all of them, for ssh to read: what they say
	// depends on more than a name (Match final, Match exec, ...). Empty: words say
	// all.
	both string
	// why we ask ssh.
	why error
}

// ConfigError is an ssh configuration that cannot be read.
type ConfigError struct {
	Err error
	// Advice is what a person can do; empty: nothing that we know of.
	Advice string
}

func (e *ConfigError) Error() string { return "ssh configuration: " + e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *ConfigError) Hint() string { return e.Advice }

func readSSHConfig(files []string) (*sshConfig, error) {
	c := &sshConfig{}
	var there []string
	for _, file := range files {
		if file == "" {
			continue
		}
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &ConfigError{Err: err}
		}
		there = append(there, file)
		cfg, err := ssh_config.DecodeBytes(data)
		if err != nil && c.why == nil {
			c.why = fmt.Errorf("%s: %w", file, err)
		}
		c.words = append(c.words, cfg)
	}
	if c.why == nil {
		return c, nil
	}
	return c, c.include(there)
}

// include writes the file that ssh is to read.
func (c *sshConfig) include(files []string) error {
	f, err := os.CreateTemp("", "runner-ssh-*")
	if err != nil {
		return &ConfigError{Err: err}
	}
	c.both = f.Name()
	for _, file := range files {
		if strings.ContainsAny(file, "\"\n") {
			continue // ssh cannot be told of it
		}
		if _, err := fmt.Fprintf(f, "Include \"%s\"\n", file); err != nil {
			c.close()
			return &ConfigError{Err: errors.Join(err, f.Close())}
		}
	}
	if err := f.Close(); err != nil {
		c.close()
		return &ConfigError{Err: err}
	}
	return nil
}

func (c *sshConfig) close() {
	if c.both != "" {
		_ = os.Remove(c.both) // in the directory for temporary files; it holds no secret
	}
}

// of is what the configuration says of a name, for that user; empty: none is
// named.
func (c *sshConfig) of(ctx context.Context, name, user string) (sshWords, error) {
	if c.both == "" {
		return c.words, nil
	}
	said, err := askSSH(ctx, c.both, name, user)
	if err != nil {
		advice := ""
		if errors.Is(err, exec.ErrNotFound) {
			advice = "it needs OpenSSH's client to be understood: install ssh, or take what is not understood out"
		}
		return nil, &ConfigError{Err: errors.Join(c.why, err), Advice: advice}
	}
	byDefault, err := askSSH(ctx, "none", name, user)
	if err != nil {
		return nil, &ConfigError{Err: err}
	}
	usual := make(map[string]bool, len(byDefault))
	for _, line := range byDefault {
		usual[line] = true
	}
	var text strings.Builder
	for _, line := range said {
		if !usual[line] {
			text.WriteString(line + "\n")
		}
	}
	cfg, err := ssh_config.Decode(strings.NewReader(text.String()))
	if err != nil {
		return nil, &ConfigError{Err: fmt.Errorf("what ssh -G says: %w", err)}
	}
	return sshWords{cfg}, nil
}

// askLimit is how long ssh may think: Match exec carries a program out.
const askLimit = 20 * time.Second

// askSSH gives what ssh itself makes of a configuration, in lines. The name was
// checked: it begins with no dash.
func askSSH(ctx context.Context, file, name, user string) ([]string, error) {
	args := []string{"-F", file, "-G"}
	if user != "" {
		args = append(args, "-l", user)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append(args, "--", name)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, err
		}
		return nil, fmt.Errorf("ssh -G: %w: %s", cmp.Or(context.Cause(ctx), err), strings.TrimSpace(said.String()))
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}
