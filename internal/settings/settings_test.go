package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	for name, tc := range map[string]struct {
		file  string
		check func(*Settings) bool
		err   string
	}{
		"no file": {check: func(s *Settings) bool {
			return s.MaxLogSize == 10<<30 && s.MaxSnapshotSize == 300<<20 && time.Duration(s.UnreachableLimit) == 24*time.Hour && len(s.BaseImages) > 2
		}},
		"sizes": {file: "max_log_size: 2MiB\nmax_snapshot_size: 1GiB\n", check: func(s *Settings) bool {
			return s.MaxLogSize == 2<<20 && s.MaxSnapshotSize == 1<<30
		}},
		"a base image": {file: "base_images: [{name: cpu, reference: mine/base:1}]\n", check: func(s *Settings) bool {
			gpus := 0
			for _, b := range s.BaseImages {
				if b.Name == "gpu" {
					gpus++
				}
				if b.Name == "cpu" && b.Reference != "mine/base:1" {
					return false
				}
			}
			return gpus > 1
		}},
		"artifact stores": {file: "artifacts:\n  default: results\n  experiments: {iris: home}\n  stores:\n" +
			"    results: azblob://acct/runs/team\n    other: https://acct.blob.core.windows.net/runs\n", check: func(s *Settings) bool {
			return s.Artifacts.Default == "results" && s.Artifacts.Stores["results"] == "azblob://acct/runs/team" && len(s.Artifacts.Stores) == 2
		}},
		"a store that is not there": {file: "artifacts: {default: resluts, stores: {results: azblob://acct/runs}}\n", err: "there is no artifact store \"resluts\": "},
		"an experiment's, misspelt": {file: "artifacts: {experiments: {iris: nowhere}}\n", err: "there is no artifact store \"nowhere\""},
		"a store called home":       {file: "artifacts: {stores: {home: azblob://acct/runs}}\n", err: "cannot be an artifact store's name"},
		"no place":                  {file: "artifacts: {stores: {r: /mnt/runs}}\n", err: "it has no scheme"},
		"a SAS in the open":         {file: "artifacts: {stores: {r: \"https://acct.blob.core.windows.net/runs?sv=1&sig=abc\"}}\n", err: "the path holds a SAS"},
		"a misspelt field":          {file: "max_logsize: 2MiB\n", err: "config.yaml:1:1"},
		"too small":                 {file: "max_log_size: 1\n", err: "at least 1MiB"},
		"a wrong name":              {file: "base_images: [{name: tpu, reference: x}]\n", err: "must be cpu or gpu"},
		"programs": {file: "programs: {linux/arm64: /opt/runner-linux-arm64}\n", check: func(s *Settings) bool {
			return s.Programs["linux/arm64"] == "/opt/runner-linux-arm64"
		}},
		"no platform":     {file: "programs: {arm64: /opt/x}\n", err: "for example linux/arm64"},
		"a relative path": {file: "programs: {linux/arm64: x}\n", err: "must be an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			if tc.file != "" {
				if err := os.WriteFile(filepath.Join(home, FileName), []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Load(home)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || !tc.check(s) {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}
