package sparksubmit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fileSystem runs "hadoop fs", or the same class out of Spark's jars where there
// is no hadoop.
// It works in dir, so that names on this machine need not stand in its arguments,
// which it takes for addresses.
func (p programs) fileSystem(ctx context.Context, dir string, args ...string) ([]byte, error) {
	var cmd *exec.Cmd
	if hadoop, err := exec.LookPath("hadoop"); err == nil {
		cmd = exec.CommandContext(ctx, hadoop, append([]string{"fs"}, args...)...)
	} else {
		cmd = exec.CommandContext(ctx, filepath.Join(filepath.Dir(p.submit), "spark-class"), append([]string{"org.apache.hadoop.fs.FsShell"}, args...)...)
	}
	cmd.Env, cmd.Dir = p.environ(), dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("hadoop fs %s: %w", args[0], err)
	}
	return out, nil
}

// notThere tells the answer of "hadoop fs" that there is no such file from all
// others, which end with the same exit code: a cluster that cannot be asked, too.
func notThere(out []byte, path string) bool {
	return bytes.Contains(out, []byte("`"+path+"': No such file or directory"))
}

// isUTF8 reports whether our surroundings write UTF-8.
func isUTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := os.Getenv(name); value != "" {
			value = strings.ToLower(value)
			return strings.HasSuffix(value, "utf-8") || strings.HasSuffix(value, "utf8")
		}
	}
	return false
}
