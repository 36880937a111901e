package sshhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// hop is one machine on the way, with all that is needed to log in.
type hop struct {
	// name is what the address or the configuration calls it.
	name             string
	user, host, port string
	// command is the ProxyCommand to it, ready for a shell; empty: none.
	command string
	// keyName is the name its key is known under; empty: host and port.
	keyName        string
	identities     []string
	identitiesOnly bool
	agent          string
	knownHosts     []string
	pin, seen      string // HostKey and SeenKey
	// jump: it is only on the way.
	jump bool
}

func (h hop) address() string { return net.JoinHostPort(h.host, h.port) }

// maxJumps is how many machines may lie on the way; a longer way is a circle.
const maxJumps = 8

var (
	errAddress   = errors.New("not an address of the form [USER@]HOST[:PORT]")
	errManyJumps = errors.New("too many jump hosts; do they lead in a circle?")
)

// way resolves an address to all machines to go through; the last is the target.
func (c Config) way(ctx context.Context) ([]hop, error) {
	config, err := readSSHConfig(c.ConfigFiles)
	if err != nil {
		return nil, err
	}
	defer config.close()
	hops, err := c.resolve(ctx, config, c.Address, c.Jumps, 0)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", c.Address, err)
	}
	last := &hops[len(hops)-1]
	last.pin, last.seen = c.HostKey, c.SeenKey
	return hops, nil
}

// resolve finds a machine and those before it. jumps nil: as configured.
func (c Config) resolve(ctx context.Context, config *sshConfig, address string, jumps []string, depth int) ([]hop, error) {
	if depth > maxJumps {
		return nil, errManyJumps
	}
	name, h, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	h.name, h.jump = name, depth > 0
	words, err := config.of(ctx, name, h.user)
	if err != nil {
		return nil, err
	}
	if err := c.fill(words, name, &h); err != nil {
		return nil, err
	}
	if jumps == nil {
		var command string
		if command, jumps, err = words.way(name); err != nil {
			return nil, err
		}
		if h.command, err = h.expandCommand(command); err != nil {
			return nil, err
		}
	}
	var hops []hop
	for i, j := range jumps {
		before := []string{} // only the first has a way of its own
		if i == 0 {
			before = nil
		}
		some, err := c.resolve(ctx, config, j, before, depth+1)
		if err != nil {
			return nil, fmt.Errorf("jump host %q: %w", j, err)
		}
		hops = append(hops, some...)
	}
	if len(hops) >= maxJumps {
		return nil, errManyJumps
	}
	return append(hops, h), nil
}

// splitAddress takes [USER@]HOST[:PORT] apart, or ssh://[USER@]HOST[:PORT].
func splitAddress(address string) (name string, h hop, err error) {
	rest := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(address), "ssh://"), "/")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		h.user, rest = rest[:i], rest[i+1:]
		if h.user == "" {
			return "", hop{}, errAddress
		}
	}
	name = rest
	switch {
	case strings.HasPrefix(rest, "["), strings.Count(rest, ":") == 1:
		if strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") {
			name = rest[1 : len(rest)-1]
			break
		}
		if name, h.port, err = net.SplitHostPort(rest); err != nil {
			return "", hop{}, fmt.Errorf("%w: %w", errAddress, err)
		}
		if n, err := strconv.Atoi(h.port); err != nil || n < 1 || n > 65535 {
			return "", hop{}, fmt.Errorf("%w: port %q", errAddress, h.port)
		}
	}
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\n/@") {
		return "", hop{}, errAddress
	}
	return name, h, nil
}

// fill completes a hop from the configuration; what the address says wins.
func (c Config) fill(words sshWords, name string, h *hop) error {
	h.host = strings.NewReplacer("%h", name, "%%", "%").Replace(orElse(words.get(name, "HostName"), name))
	h.port = orElse(h.port, words.get(name, "Port"), "22")
	if h.user = orElse(h.user, words.get(name, "User")); h.user == "" {
		me, err := user.Current()
		if err != nil {
			return fmt.Errorf("no user is named: %w", err)
		}
		h.user = me.Username
	}
	h.keyName = words.get(name, "HostKeyAlias")
	h.identitiesOnly = c.IdentitiesOnly && !h.jump || words.get(name, "IdentitiesOnly") == "yes"
	if !h.jump {
		h.identities = append(h.identities, c.IdentityFiles...)
	}
	for _, file := range words.all(name, "IdentityFile") {
		if file != "none" {
			h.identities = append(h.identities, h.expand(name, file))
		}
	}
	if h.jump {
		h.identities = append(h.identities, c.IdentityFiles...)
	}
	h.agent = h.agentSocket(name, c.AgentSocket, words.get(name, "IdentityAgent"))
	if h.knownHosts = c.KnownHosts; h.knownHosts == nil {
		files := splitFiles(orElse(words.raw(name, "UserKnownHostsFile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2"))
		files = append(files, splitFiles(orElse(words.raw(name, "GlobalKnownHostsFile"), "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"))...)
		for _, file := range files {
			h.knownHosts = append(h.knownHosts, h.expand(name, file))
		}
	}
	return nil
}

// agentSocket is where the ssh-agent listens, by Config.AgentSocket and by the
// configuration's word, which wins as it does for ssh.
func (h *hop) agentSocket(name, ours, word string) string {
	switch {
	case ours == "none":
		return ours
	case word == "", word == "SSH_AUTH_SOCK":
		return orElse(ours, os.Getenv("SSH_AUTH_SOCK"))
	}
	return h.expand(name, os.ExpandEnv(word))
}

// expand replaces "~" and the marks of ssh_config(5) that files may have.
func (h *hop) expand(name, file string) string {
	home := strings.TrimSuffix(inHome(""), "/")
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		file = filepath.Join(home, rest)
	}
	local := ""
	if me, err := user.Current(); err == nil {
		local = me.Username
	}
	return strings.NewReplacer("%%", "%", "%d", home, "%h", h.host, "%n", name, "%p", h.port, "%r", h.user, "%u", local).Replace(file)
}

func orElse(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// splitFiles splits a list of files, of which some may be in quotes.
func splitFiles(list string) (files []string) {
	for list = strings.TrimSpace(list); list != ""; list = strings.TrimSpace(list) {
		end := strings.IndexAny(list, " \t")
		if rest, quoted := strings.CutPrefix(list, `"`); quoted {
			list, end = rest, strings.IndexByte(rest, '"')
		}
		if end < 0 {
			return append(files, list)
		}
		files, list = append(files, list[:end]), list[end+1:]
	}
	return files
}

// sshWords are what ssh configurations say, the first file first.
type sshWords []*ssh_config.Config

// get is the first value of a key for a name; empty when nothing says it.
func (w sshWords) get(name, key string) string { return strings.Trim(w.raw(name, key), `"`) }

// raw is get with its quotes.
func (w sshWords) raw(name, key string) string {
	for _, cfg := range w {
		if v, err := cfg.Get(name, key); err == nil && v != "" {
			return v
		}
	}
	return ""
}

// all are all values of a key that may be given more than once.
func (w sshWords) all(name, key string) []string {
	var values []string
	for _, cfg := range w {
		some, err := cfg.GetAll(name, key)
		if err != nil {
			continue
		}
		for _, v := range some {
			values = append(values, strings.Trim(v, `"`))
		}
	}
	return values
}

// way is how one of that name is reached: through a command, or machines
// before it, or neither. Of ProxyCommand and ProxyJump the first word counts.
func (w sshWords) way(name string) (command string, jumps []string, err error) {
	command, list := w.firstProxy(name)
	if strings.EqualFold(command, "none") {
		command = ""
	}
	jumps, err = splitJumps(list)
	return command, jumps, err
}

// firstProxy gives the value of the one of the two that comes first.
func (w sshWords) firstProxy(name string) (command, jumps string) {
	for _, cfg := range w {
		for _, h := range cfg.Hosts {
			if !h.Matches(name) {
				continue
			}
			for _, node := range h.Nodes {
				switch n := node.(type) {
				case *ssh_config.KV:
					switch strings.ToLower(n.Key) {
					case "proxycommand":
						return n.Value, ""
					case "proxyjump":
						return "", strings.Trim(n.Value, `"`)
					}
				case *ssh_config.Include: // it does not tell which of two is first
					if list := n.Get(name, "ProxyJump"); list != "" {
						return "", strings.Trim(list, `"`)
					}
					if command := n.Get(name, "ProxyCommand"); command != "" {
						return command, ""
					}
				}
			}
		}
	}
	return "", ""
}

func splitJumps(list string) ([]string, error) {
	if list == "" || strings.EqualFold(list, "none") {
		return []string{}, nil
	}
	jumps := strings.Split(list, ",")
	for i, j := range jumps {
		if jumps[i] = strings.TrimSpace(j); jumps[i] == "" {
			return nil, fmt.Errorf("ProxyJump %q: %w", list, errAddress)
		}
	}
	return jumps, nil
}
