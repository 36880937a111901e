package slurm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/run"
)

// Site is what a Slurm says of itself.
type Site struct {
	// Name of the cluster and Controller, its first host.
	Name, Controller string
	Version          string
}

// ID tells the cluster apart from others.
func (s Site) ID() string {
	sum := sha256.Sum256([]byte("runner slurm " + s.Name + " " + s.Controller))
	return hex.EncodeToString(sum[:16])
}

// The oldest version that has all that we ask for.
const oldestYear, oldestMonth = 20, 11

// Site asks the controller.
func (e *Engine) Site(ctx context.Context) (Site, error) {
	out, err := e.call(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return Site{}, e.notThere(err)
	}
	var s Site
	for line := range strings.Lines(out) {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "ClusterName":
			s.Name = value
		case "SlurmctldHost[0]":
			s.Controller = value
		case "SLURM_VERSION":
			s.Version = value
		}
	}
	if s.Name == "" || s.Version == "" {
		return s, broken("scontrol show config does not name the cluster", "is this Slurm's scontrol?")
	}
	parts := strings.SplitN(s.Version, ".", 3)
	year, yearErr := strconv.Atoi(parts[0])
	month := 0
	if len(parts) > 1 {
		month, _ = strconv.Atoi(parts[1]) // then the year decides
	}
	if yearErr == nil && (year < oldestYear || year == oldestYear && month < oldestMonth) {
		return s, broken("Slurm "+s.Version+" is too old", fmt.Sprintf("%d.%d or newer is needed", oldestYear, oldestMonth))
	}
	return s, nil
}

// Verify sees that what the target names is there.
func (e *Engine) Verify(ctx context.Context) error {
	out, err := e.call(ctx, "", "sinfo", "--noheader", "--all", "--format=%R")
	if err != nil {
		return e.notThere(err)
	}
	known := slices.Compact(slices.Sorted(slices.Values(strings.Fields(out))))
	for _, given := range []string{e.options.Defaults.Partition, e.options.LowPriority.Partition} {
		for name := range strings.SplitSeq(given, ",") {
			if name != "" && !slices.Contains(known, name) {
				return broken(fmt.Sprintf("the cluster has no partition %q", name), "it has "+strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// broken is a cluster that cannot be used as it was asked for.
func broken(what, hint string) error {
	return &backends.Failure{Outcome: run.OutcomeTargetUnreachable, Hint: hint, Err: errors.New(what)}
}

// notThere says more of commands that are not there.
func (e *Engine) notThere(err error) error {
	if _, known := errors.AsType[*backends.Failure](err); known {
		return err
	}
	failed, ran := errors.AsType[*host.ExitError](err)
	const notFound = 127
	if ran && failed.Code == notFound || !ran && strings.Contains(err.Error(), "executable file not found") || strings.Contains(err.Error(), "no such file") {
		where := "in the PATH of this login"
		if e.options.Bin != "" {
			where = "in " + e.options.Bin
		}
		return broken("Slurm's commands are not "+where, "name their directory with --slurm-bin")
	}
	return err
}
