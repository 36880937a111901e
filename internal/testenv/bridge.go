package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
)

// bridgeMTU suits machines whose own link is smaller than Ethernet's 1500, as in many clouds.
const bridgeMTU = 1400

// bridge is the network of one Docker engine of this package: a device and a private /24.
type bridge struct {
	name    string // also the engine's namespace in containerd
	gateway string // this machine's address on it
	subnet  string
}

// bridgeName is derived from the directory of the engine, so that two state directories do not meet.
func bridgeName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "rte" + hex.EncodeToString(sum[:4])
}

// ensureBridge makes the device, its address and its firewall rules; what is already there stays.
func ensureBridge(ctx context.Context, dir string) (bridge, error) {
	name := bridgeName(dir)
	if _, err := net.InterfaceByName(name); err != nil {
		if _, err := output(exec.CommandContext(ctx, "ip", "link", "add", "name", name, "type", "bridge")); err != nil {
			return bridge{}, fmt.Errorf("bridge: %w", err)
		}
	}
	b, err := addressOf(name)
	if err != nil {
		return bridge{}, fmt.Errorf("bridge: %w", err)
	}
	if b.gateway == "" {
		if b, err = freeSubnet(name); err != nil {
			return bridge{}, fmt.Errorf("bridge: %w", err)
		}
		if _, err := output(exec.CommandContext(ctx, "ip", "address", "add", b.gateway+"/24", "dev", name)); err != nil {
			return bridge{}, fmt.Errorf("bridge: %w", err)
		}
	}
	if _, err := output(exec.CommandContext(ctx, "ip", "link", "set", name, "up")); err != nil {
		return bridge{}, fmt.Errorf("bridge: %w", err)
	}
	for _, rule := range firewallRules(b) {
		if exec.CommandContext(ctx, "iptables", rule.arguments("--check")...).Run() == nil {
			continue
		}
		if _, err := output(exec.CommandContext(ctx, "iptables", rule.arguments("--insert")...)); err != nil {
			return bridge{}, fmt.Errorf("bridge: %w", err)
		}
	}
	return b, nil
}

// removeBridge undoes ensureBridge.
func removeBridge(ctx context.Context, dir string) error {
	name := bridgeName(dir)
	if _, err := net.InterfaceByName(name); err != nil {
		return nil //nolint:nilerr // there is none, so nothing is to be done
	}
	b, err := addressOf(name)
	if err != nil {
		return fmt.Errorf("remove bridge: %w", err)
	}
	var problems []error
	for _, rule := range firewallRules(b) {
		if exec.CommandContext(ctx, "iptables", rule.arguments("--check")...).Run() == nil {
			_, err := output(exec.CommandContext(ctx, "iptables", rule.arguments("--delete")...))
			problems = append(problems, err)
		}
	}
	_, err = output(exec.CommandContext(ctx, "ip", "link", "delete", name))
	return errors.Join(append(problems, err)...)
}

// addressOf reads back a bridge made earlier; without an address its gateway is empty.
func addressOf(name string) (bridge, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return bridge{}, err
	}
	addresses, err := device.Addrs()
	if err != nil {
		return bridge{}, err
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil {
			return newBridge(name, network.IP.To4()), nil
		}
	}
	return bridge{name: name}, nil
}

func newBridge(name string, ip net.IP) bridge {
	return bridge{name: name, gateway: ip.String(), subnet: fmt.Sprintf("%d.%d.%d.0/24", ip[0], ip[1], ip[2])}
}

// freeSubnet picks a private /24 that no device of this machine has.
func freeSubnet(name string) (bridge, error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return bridge{}, err
	}
	for third := range 256 {
		gateway := net.IPv4(10, 213, byte(third), 1).To4()
		if !slices.ContainsFunc(taken, func(address net.Addr) bool {
			network, ok := address.(*net.IPNet)
			return ok && network.Contains(gateway)
		}) {
			return newBridge(name, gateway), nil
		}
	}
	return bridge{}, errors.New("no free subnet in 10.213.0.0/16")
}

// firewallRule is one iptables rule, without the verb that adds, checks or deletes it.
type firewallRule struct {
	table, chain string
	match        []string
}

func (r firewallRule) arguments(verb string) []string {
	return append([]string{"--wait", "--table", r.table, verb, r.chain}, r.match...)
}

// firewallRules let containers out to where this machine can reach, and let only answers in.
func firewallRules(b bridge) []firewallRule {
	return []firewallRule{
		{"nat", "POSTROUTING", []string{"--source", b.subnet, "!", "--out-interface", b.name, "--jump", "MASQUERADE"}},
		{"filter", "FORWARD", []string{"--in-interface", b.name, "--jump", "ACCEPT"}},
		{"filter", "FORWARD", []string{"--out-interface", b.name, "--match", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "--jump", "ACCEPT"}},
	}
}
