package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = "" //nolint:gochecknoglobals // -ldflags -X wants a variable

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func currentVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func newVersion(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Say which runner this is", Args: wants(0, 0, "")}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := currentVersion()
		if as.json() {
			return c.printJSON(v)
		}
		commit := v.Commit
		if v.Modified {
			commit += " with changes"
		}
		if commit != "" {
			commit += ", "
		}
		return c.print(fmt.Sprintf("runner %s (%s%s, %s)\n", v.Version, commit, v.Go, v.Platform))
	}
	return cmd
}
