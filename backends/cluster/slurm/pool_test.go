package slurm

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/runconfig"
)

// What several versions say of their nodes is read alike.
func TestRecordedPools(t *testing.T) {
	for _, c := range []struct {
		name, file string
		options    Options
		want       []string
	}{
		{"20.11: marks for flags, nodes by the cloud", "pool-20.11.txt", Options{}, []string{
			"2 to 7, dedicated, idle 300: 48 CPUs, 120536 MiB; 8 CPUs, 1 MiB",
			"ant13 running MIXED",
			"ant14 unusable DOWN*+DRAIN: Not responding since 1637593200",
			"dy-01 preparing ALLOCATED#+CLOUD: Slurm is starting it",
			"dy-03 leaving IDLE*+CLOUD+POWERING_DOWN: Slurm is shutting it down",
			"dy-04 unusable DOWN*+CLOUD+POWER: ResumeTimeout reached since 1637593260",
		}},
		{"20.11: a partition without any of them", "pool-20.11.txt", Options{Defaults: runconfig.Slurm{Partition: "static"}}, []string{
			"2 to 2, dedicated, idle 300: 48 CPUs, 120536 MiB",
			"ant13 running MIXED",
			"ant14 unusable DOWN*+DRAIN: Not responding since 1637593200",
		}},
		{"22.05: switched off nodes are not told of", "pool-22.05.txt", Options{}, []string{
			"2 to 4, dedicated, idle 10: 4 CPUs, 2000 MiB, gpu:2",
			"n1 unusable IDLE+DRAIN: bad disk since 1795597980",
			"n2 idle IDLE",
		}},
		{"22.05: a preemptible partition", "pool-22.05.txt", Options{Defaults: runconfig.Slurm{Partition: "low"}}, []string{
			"2 to 4, lowpriority, idle 10: 4 CPUs, 2000 MiB, gpu:2",
			"n1 unusable IDLE+DRAIN: bad disk since 1795597980",
			"n2 idle IDLE",
		}},
		{"24.11: names of the cloud, a time of the partition's own, some kept", "pool-24.11.txt", Options{}, []string{
			"2 to 10, lowpriority, idle 600: g7e.8xlarge",
			"gpu-dy-ml-1 leaving MIXED+CLOUD+DRAIN: fans: State=DOWN? since 1773223551",
			"gpu-dy-ml-2 preempted DOWN+CLOUD+NOT_RESPONDING: Preempted instance since 1773223600",
			"gpu-dy-ml-3 preparing ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP: Slurm is starting it",
			"gpu-st-ml-1 idle IDLE+CLOUD",
		}},
		{"24.11: nodes that are never switched off, and those for low priority", "pool-24.11.txt", Options{
			Defaults: runconfig.Slurm{Partition: "other"}, LowPriority: runconfig.Slurm{Partition: "urgent"},
		}, []string{
			"11 to 11, dedicated, always: 256 CPUs, 644096 MiB; g7e.8xlarge",
			"b-cn1703 running MIXED",
			"gpu-dy-ml-1 leaving MIXED+CLOUD+DRAIN: fans: State=DOWN? since 1773223551",
			"gpu-dy-ml-2 preempted DOWN+CLOUD+NOT_RESPONDING: Preempted instance since 1773223600",
			"gpu-dy-ml-3 preparing ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP: Slurm is starting it",
			"gpu-st-ml-1 idle IDLE+CLOUD",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			said, err := os.ReadFile("testdata/" + c.file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := c.options.pool(string(said))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, told(p)); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := (Options{Defaults: runconfig.Slurm{Partition: "nope"}}).pool("PartitionName=normal\n   Default=YES\n"); err == nil {
		t.Error("a pool of no partition")
	}
}

func told(p backends.Pool) []string {
	idle := "always"
	if p.IdleSeconds != nil {
		idle = fmt.Sprintf("idle %d", *p.IdleSeconds)
	}
	lines := []string{fmt.Sprintf("%d to %d, %s, %s: %s", p.MinNodes, p.MaxNodes, p.VMPriority, idle, p.VMSize)}
	for _, n := range p.Nodes {
		line := fmt.Sprintf("%s %s %s", n.Name, n.State, n.EngineState)
		if n.Reason != "" {
			line += ": " + n.Reason
		}
		if n.Since != nil {
			line += fmt.Sprintf(" since %d", n.Since.Unix())
		}
		lines = append(lines, line)
	}
	return lines
}

func TestNodeStates(t *testing.T) {
	for _, c := range []struct {
		word, why string
		want      backends.NodeState
	}{
		{"IDLE", "", backends.NodeIdle},
		{"IDLE+PLANNED", "", backends.NodeIdle},
		{"IDLE+CLOUD", "Node start up", backends.NodeIdle},
		{"ALLOCATED", "", backends.NodeRunning},
		{"MIXED+CLOUD", "", backends.NodeRunning},
		{"IDLE+COMPLETING", "", backends.NodeRunning},
		{"ALLOCATED+MAINTENANCE+RESERVED", "", backends.NodeRunning},
		{"MIXED+CLOUD+NOT_RESPONDING+POWERING_UP", "", backends.NodePreparing},
		{"MIXED+CLOUD+POWERED_DOWN", "", backends.NodePreparing}, // it will be started for the job that has it
		{"IDLE+CLOUD+POWERED_DOWN+POWERING_UP", "", backends.NodePreparing},
		{"IDLE+POWER_UP", "", backends.NodePreparing},
		{"IDLE+REBOOT_ISSUED", "", backends.NodePreparing},
		{"mixed#", "", backends.NodePreparing},
		{"IDLE+CLOUD+POWERING_DOWN", "", backends.NodeLeaving},
		{"ALLOCATED+POWER_DOWN", "", backends.NodeLeaving},
		{"IDLE+POWER_DOWN", "", backends.NodeLeaving},
		{"idle%", "", backends.NodeLeaving},
		{"MIXED+DRAIN", "later", backends.NodeLeaving},
		{"draining", "later", backends.NodeLeaving},
		{"IDLE+DRAIN", "bad disk", backends.NodeUnusable},
		{"DRAINED*", "bad disk", backends.NodeUnusable},
		{"DOWN", "", backends.NodeUnusable},
		{"DOWN+NOT_RESPONDING", "Not responding", backends.NodeUnusable},
		{"DOWN+CLOUD+POWERED_DOWN+NOT_RESPONDING", "ResumeTimeout reached", backends.NodeUnusable},
		{"ALLOCATED+NOT_RESPONDING", "", backends.NodeUnusable},
		{"UNKNOWN", "", backends.NodeUnusable},
		{"IDLE+MAINTENANCE+RESERVED", "", backends.NodeUnusable},
		{"IDLE+RESERVED", "", backends.NodeUnusable},
		{"IDLE+POWERED_DOWN+DRAIN", "bad disk", backends.NodeUnusable},
		{"SOMETHING_NEW", "", backends.NodeUnusable},
		{"DOWN+CLOUD", "Preempted instance", backends.NodePreempted},
		{"IDLE+CLOUD+POWERING_DOWN", "instance was preempted", backends.NodePreempted},
		{"IDLE+CLOUD+POWERED_DOWN", "", ""},
		{"IDLE+POWER", "", ""},
		{"idle~", "", ""},
		{"FUTURE", "", ""},
	} {
		got, words := nodeState(flagsOf(c.word), c.why, false)
		if got != c.want || (got == backends.NodeUnusable || got == backends.NodeLeaving || got == backends.NodePreparing) && words == "" {
			t.Errorf("%s %q is %s (%s), want %s", c.word, c.why, got, words, c.want)
		}
	}
	if got, _ := nodeState(flagsOf("IDLE+RESERVED"), "", true); got != backends.NodeIdle {
		t.Errorf("a node that is reserved for us is %s", got)
	}
}

func TestExpand(t *testing.T) {
	for list, want := range map[string][]string{
		"":                     nil,
		"n1":                   {"n1"},
		"n[1-3,7],gpu-01":      {"n1", "n2", "n3", "n7", "gpu-01"},
		"r[1-2]n[09-10]":       {"r1n09", "r1n10", "r2n09", "r2n10"},
		"a[001,3]-ib":          {"a001-ib", "a3-ib"},
		"n[3-1]":               nil,
		"n[1-":                 nil,
		"n[x]":                 nil,
		"n]":                   nil,
		"n[1-999999999]":       nil,
		"a[1-999]b[1-999]":     nil,
		"n[0-131071],m[1-999]": nil,
	} {
		if d := cmp.Diff(want, expand(list)); d != "" {
			t.Errorf("%s: %s", list, d)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"n[1-3,7],gpu-01", "r[1-2]n[09-10]", "[", "a]b[", "n[1-99999]m[1-99999]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if n := len(expand(list)); n > mostNames {
			t.Errorf("%d names", n)
		}
	})
}
