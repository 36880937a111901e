package program

import (
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuildOf(t *testing.T) {
	setting := func(pairs ...string) (all []debug.BuildSetting) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return all
	}
	for _, c := range []struct {
		name string
		info debug.BuildInfo
		want Build
		text string
	}{
		{"from a commit with changes", debug.BuildInfo{
			GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3+dirty"},
			Settings: setting("GOOS", "linux", "GOARCH", "arm64", "vcs.revision", "0123456789abcdef", "vcs.modified", "true"),
		}, Build{Version: "v1.2.3+dirty", Commit: "0123456789ab", Modified: true, Go: "go1.26", Platform: "linux/arm64"}, "v1.2.3+dirty (0123456789ab with changes)"},
		{"from a tar file", debug.BuildInfo{
			GoVersion: "go1.26", Main: debug.Module{Version: "(devel)"}, Settings: setting("GOOS", "darwin", "GOARCH", "amd64"),
		}, Build{Version: "devel", Go: "go1.26", Platform: "darwin/amd64"}, "devel"},
		{"nothing is known", debug.BuildInfo{}, Build{Version: "devel", Platform: "/"}, "devel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := buildOf(&c.info)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if got.String() != c.text {
				t.Errorf("in words %q, not %q", got, c.text)
			}
		})
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		name         string
		a, b         Build
		same, source bool
	}{
		{"for two platforms", Build{Version: "v1", Commit: "a", Platform: "linux/amd64"}, Build{Version: "v1", Commit: "a", Platform: "darwin/arm64", Go: "go1.26"}, true, true},
		{"of two versions", Build{Version: "v1"}, Build{Version: "v2"}, false, true},
		{"from two commits", Build{Version: "v1", Commit: "a"}, Build{Version: "v1", Commit: "b"}, false, false},
		{"one with changes", Build{Version: "v1", Commit: "a"}, Build{Version: "v1", Commit: "a", Modified: true}, false, false},
		{"a commit that is not known", Build{Version: "v1", Commit: "a"}, Build{Version: "v1"}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.a.same(c.b) != c.same || c.b.same(c.a) != c.same {
				t.Errorf("the same: not %v", c.same)
			}
			if c.a.sameSource(c.b) != c.source || c.b.sameSource(c.a) != c.source {
				t.Errorf("from the same source: not %v", c.source)
			}
		})
	}
}
