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
		"a misspelt field": {file: "max_logsize: 2MiB\n", err: "config.yaml:1:1"},
		"too small":        {file: "max_log_size: 1\n", err: "at least 1MiB"},
		"a wrong name":     {file: "base_images: [{name: tpu, reference: x}]\n", err: "must be cpu or gpu"},
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
