package slurm

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/cluster"
)

// accounting remembers whether the cluster keeps accounts.
type accounting struct {
	mu  sync.Mutex
	off bool
}

// pastFields of sacct: id, state, nodes, start, end, limit, name, comment. Few
// sites keep comments; a name is ours when it is one that was asked for.
const pastFields = "JobID,State,NodeList,Start,End,Timelimit,JobName,Comment"

const pastCount = 8

// farPast is how long ago jobs may have been submitted that are asked for.
const farPast = "now-30days"

// Past asks sacct, where accounting is kept.
func (e *Engine) Past(ctx context.Context, marks []cluster.Mark) ([]cluster.State, error) {
	e.past.mu.Lock()
	off := e.past.off
	e.past.mu.Unlock()
	if off || len(marks) == 0 {
		return nil, nil
	}
	names := make([]string, len(marks))
	byName := make(map[string]cluster.Mark, len(marks))
	for i, m := range marks {
		names[i] = m.Name()
		byName[names[i]] = m
	}
	out, err := e.call(ctx, "", "sacct", "--allocations", "--noheader", "--parsable2", "--duplicates", "--starttime="+farPast,
		"--name="+strings.Join(names, ","), "--format="+pastFields)
	if err != nil {
		if backends.IsTemporary(err) || ctx.Err() != nil {
			return nil, err
		}
		if strings.Contains(err.Error(), "accounting storage is disabled") || strings.Contains(err.Error(), "not running") {
			e.past.mu.Lock()
			e.past.off = true
			e.past.mu.Unlock()
			return nil, nil
		}
		return nil, err
	}
	var all []cluster.State
	for line := range strings.Lines(out) {
		if s, ok := e.parsePast(strings.TrimRight(line, "\n"), byName); ok {
			all = append(all, s)
		}
	}
	return all, nil
}

func (e *Engine) parsePast(line string, byName map[string]cluster.Mark) (s cluster.State, ours bool) {
	f := strings.SplitN(line, separator, pastCount)
	if len(f) != pastCount {
		return s, false
	}
	mark, ok := byName[f[6]]
	if installation, _, marked := cluster.ParseMark(strings.TrimSpace(f[7])); !ok || marked && installation != e.options.Installation {
		return s, false
	}
	word, _, _ := strings.Cut(f[1], " ") // "CANCELLED by 1000"
	s = cluster.State{ID: f[0], Mark: mark, Word: word, StartedAt: moment(f[3]), EndedAt: moment(f[4]), Limit: duration(f[5])}
	if first, _, _ := strings.Cut(f[2], ","); !strings.Contains(first, "[") && first != "None assigned" {
		s.Node = first
	}
	s.Phase, s.Outcome = meaning(word)
	s.Reason = reason(word, "")
	if s.Phase == cluster.Ended && s.EndedAt.IsZero() {
		s.EndedAt = time.Now().UTC()
	}
	return s, true
}
