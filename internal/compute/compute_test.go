package compute

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckName(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"gpubox", true},
		{"a", true},
		{"gpu-box.2_x", true},
		{strings.Repeat("a", 63), true},
		{"", false},
		{"local", false},
		{"GPU", false},
		{"-x", false},
		{"x-", false},
		{"..", false},
		{"a/b", false},
		{"a b", false},
		{"bücher", false},
		{"@last", false},
		{"a\nb", false},
		{strings.Repeat("a", 64), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := CheckName(c.name); (err == nil) != c.ok {
				t.Error(err)
			}
		})
	}
}

func TestReference(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lookup := func(name string) (string, bool) {
		v, ok := map[string]string{"PW": "from env", "EMPTY": ""}[name]
		return v, ok
	}
	for _, c := range []struct {
		name, text, given, want, err string
	}{
		{name: "variable", text: "env:PW", given: "older", want: "from env"},
		{name: "variable that is gone", text: "env:GONE", given: "sealed", want: "sealed"},
		{name: "empty variable", text: "env:EMPTY", given: "sealed", want: "sealed"},
		{name: "variable that never was", text: "env:GONE", err: "the variable GONE is not set"},
		{name: "not a variable", text: "env:a b", err: "env: must be followed by the name of a variable"},
		{name: "file", text: "file:" + file("a", "secret\n", 0o600), want: "secret"},
		{name: "only the last line end goes", text: "file:" + file("b", " sec ret \r\n", 0o400), want: " sec ret "},
		{name: "others may read it", text: "file:" + file("c", "secret", 0o640), err: "others may read the secret in " + dir + "/c (mode 0640)"},
		{name: "empty file", text: "file:" + file("d", "\n", 0o600), err: "the file of a secret is empty: " + dir + "/d"},
		{name: "no file", text: "file:" + dir + "/none", err: "the file of a secret cannot be read: " + dir + "/none: no such file or directory"},
		{name: "a directory", text: "file:" + dir, err: "this is no file with a secret: " + dir},
		{name: "a value in its place is not told", text: "hunter2", err: "a secret is never given itself, but where it is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseReference(c.text)
			got := ""
			if err == nil {
				got, err = r.Read(c.given, lookup)
			}
			if got != c.want || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
				t.Errorf("got %q, %v; want %q, %q", got, err, c.want, c.err)
			}
		})
	}
	if got, err := Given.Read("typed", lookup); got != "typed" || err != nil {
		t.Error(got, err)
	}
	if _, err := Given.Read("", lookup); err == nil {
		t.Error("a value that is gone is no error")
	}
}

func TestSame(t *testing.T) {
	known := []Known{{"a", "m1", "k1"}, {"b", "", "k2"}, {"c", "m3", ""}}
	for _, c := range []struct{ name, id, key, want string }{
		{"another", "m4", "k4", ""},
		{"by its id", "m3", "k9", "c"},
		{"by its key", "m9", "k2", "b"},
		{"by both", "m1", "k1", "a"},
		{"nothing is known of it", "", "", ""},
		{"only its key is known", "", "k1", "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if same, ok := errors.AsType[*SameMachineError](Same(c.id, c.key, known)); ok {
				got = same.Name
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func claimOf(installation, target string) Claim {
	return Claim{Installation: installation, Target: target, By: "me@" + installation, Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func newHost(t *testing.T) *host.Here {
	h := host.NewHere(filepath.Join(t.TempDir(), "with space and 'quote"))
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func TestClaim(t *testing.T) {
	ctx := t.Context()
	h := newHost(t)
	mine := claimOf("one", "gpubox")
	if err := checkClaim(ctx, h, "one", "gpubox"); err == nil {
		t.Error("nobody's machine counts as ours")
	}
	if made, err := putClaim(ctx, h, mine); !made || err != nil {
		t.Fatal(made, err)
	}
	if made, err := putClaim(ctx, h, mine); made || err != nil {
		t.Error("the same again:", made, err)
	}
	for _, c := range []struct {
		name  string
		claim Claim
		ours  bool
		want  string
	}{
		{"another installation", claimOf("two", "box"), false, `the machine is attached as "gpubox" by me@one (installation one) since 2026-03-01 12:00 UTC`},
		{"another name of ours", claimOf("one", "box"), true, `this directory of the machine belongs to the target "gpubox" since 2026-03-01 12:00 UTC`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := putClaim(ctx, h, c.claim)
			e, ok := errors.AsType[*ClaimedError](err)
			if !ok || e.Ours != c.ours || e.Error() != c.want {
				t.Errorf("%v", err)
			}
		})
	}
	if err := checkClaim(ctx, h, "one", "gpubox"); err != nil {
		t.Error(err)
	}
	theirs := claimOf("two", "box")
	if err := replaceClaim(ctx, h, &theirs); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*ClaimedError](checkClaim(ctx, h, "one", "gpubox")); !ok {
		t.Error("it was taken over and we did not see")
	}
	entries, err := os.ReadDir(h.Root())
	if err != nil || len(entries) != 1 {
		t.Error("half a claim is left:", entries, err)
	}
	if err := os.WriteFile(claimPath(h), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := putClaim(ctx, h, mine); err == nil {
		t.Error("a damaged claim is nobody's")
	}
}

// TestClaimAtOnce has many installations claim a machine: one gets it.
func TestClaimAtOnce(t *testing.T) {
	h := newHost(t)
	const many = 8
	var wait sync.WaitGroup
	var mu sync.Mutex
	got, refused := 0, 0
	for i := range many {
		wait.Go(func() {
			_, err := putClaim(t.Context(), h, claimOf(string(rune('a'+i)), "box"))
			mu.Lock()
			defer mu.Unlock()
			if _, ok := errors.AsType[*ClaimedError](err); ok {
				refused++
			} else if err == nil {
				got++
			} else {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got != 1 || refused != many-1 {
		t.Errorf("%d got it, %d were refused", got, refused)
	}
}

func TestClaimForeign(t *testing.T) {
	h := newHost(t)
	if err := os.MkdirAll(filepath.Join(h.Root(), "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := putClaim(t.Context(), h, claimOf("one", "gpubox"))
	if _, ok := errors.AsType[*ForeignError](err); !ok {
		t.Error(err)
	}
	if _, err := os.Stat(claimPath(h)); err == nil {
		t.Error("it is claimed all the same")
	}
}

func TestRemoveOurs(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		make []string
		left []string // nil: not even the directory
	}{
		{"all is ours", []string{"runs/a/attempts/1/x", "copies/1-a/tree/train.py", "bin/runner", "claim.json"}, nil},
		{"something is not", []string{"bin/runner", "notes.txt", "data/big"}, []string{"data", "notes.txt"}},
		{"what was being written", []string{"claim.json", "claim.json.one.gpubox", ".new-abc"}, nil},
		{"another is claiming it", []string{"bin/runner", "claim.json.two.gpubox"}, []string{"claim.json.two.gpubox"}},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			for _, name := range c.make {
				path := filepath.Join(h.Root(), name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := removeOurs(ctx, h, "one"); err != nil {
					t.Fatal(err)
				}
			}
			var left []string
			entries, err := os.ReadDir(h.Root())
			if c.left == nil && err == nil {
				t.Error("the directory is still there")
			}
			for _, e := range entries {
				left = append(left, e.Name())
			}
			if d := cmp.Diff(c.left, left); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	machine := func(change func(*inventory.Inventory)) *inventory.Inventory {
		inv := &inventory.Inventory{
			Hostname: "box", Clock: inventory.Clock{Known: true}, CPUs: inventory.CPUs{Usable: 8}, Memory: inventory.Memory{Usable: 32 << 30, Available: 1},
			GPUs:   []inventory.GPU{{Name: "A100", ID: "GPU-1"}, {Name: "A100", ID: "GPU-2"}},
			NVIDIA: inventory.NVIDIA{Driver: "550.54"}, Python: []inventory.Python{{Path: "/usr/bin/python3", Version: "3.11.2"}},
		}
		if change != nil {
			change(inv)
		}
		return inv
	}
	for _, c := range []struct {
		name   string
		change func(*inventory.Inventory)
		want   []string
	}{
		{"nothing", nil, []string{}},
		{"what changes all the time", func(i *inventory.Inventory) {
			i.Memory.Available, i.Disk.Free, i.Clock = 5, 7, inventory.Clock{Known: true, Skew: 4}
		}, []string{}},
		{"the order of GPUs", func(i *inventory.Inventory) { i.GPUs[0], i.GPUs[1] = i.GPUs[1], i.GPUs[0] }, []string{}},
		{"a GPU less", func(i *inventory.Inventory) { i.GPUs = i.GPUs[:1] }, []string{"GPUs: A100 GPU-1, A100 GPU-2 -> A100 GPU-1"}},
		{"clock", func(i *inventory.Inventory) { i.Clock.Skew = -70.2 }, []string{"clock: 0 s ahead of ours -> 70 s behind ours"}},
		{"driver", func(i *inventory.Inventory) { i.NVIDIA.Driver = "" }, []string{"NVIDIA driver: 550.54 -> none"}},
		{
			"several", func(i *inventory.Inventory) {
				i.Memory.Usable, i.UV = 16<<30, &inventory.Program{Name: "uv", Version: "0.5"}
				i.Docker = inventory.Docker{Found: true, Podman: true, Version: "5.0"}
			},
			[]string{"memory: 32 GiB -> 16 GiB", "uv: none -> uv 0.5", "Docker: none -> podman 5.0"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Changes(machine(nil), machine(c.change))); d != "" {
				t.Error(d)
			}
		})
	}
}
