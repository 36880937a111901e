package sparksubmit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Where distributions put Spark: HDInsight's own places.
var places = []string{
	"/usr/hdp/current/spark3-client",
	"/usr/hdp/current/spark-client",
	"/usr/hdp/current/spark2-client",
	"/opt/spark",
	"/usr/lib/spark",
}

const program = "spark-submit"

// NotFoundError is a machine without spark-submit.
type NotFoundError struct{}

func (*NotFoundError) Error() string {
	return "there is no spark-submit: not in SPARK_HOME, not in PATH, and not where HDInsight has it"
}

// Hint says what a person can do.
func (*NotFoundError) Hint() string {
	return "name it with --spark-submit when the target is attached, set SPARK_HOME, or add pyspark to the environment's pip packages"
}

// Find gives the path of spark-submit: the one that was named, that of SPARK_HOME,
// that in PATH, or HDInsight's.
func Find(named, home, path string) (string, error) {
	if named != "" {
		if !isProgram(named) {
			return "", fmt.Errorf("%s is no program: %w", named, fs.ErrNotExist)
		}
		return named, nil
	}
	candidates := []string{}
	if home != "" {
		candidates = append(candidates, filepath.Join(home, "bin", program))
	}
	for dir := range strings.SplitSeq(path, string(os.PathListSeparator)) {
		if filepath.IsAbs(dir) {
			candidates = append(candidates, filepath.Join(dir, program))
		}
	}
	for _, place := range places {
		candidates = append(candidates, filepath.Join(place, "bin", program))
	}
	for _, c := range candidates {
		if isProgram(c) {
			return c, nil
		}
	}
	return "", &NotFoundError{}
}

func isProgram(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil || errors.Is(err, exec.ErrDot)
}

// homeOf is the SPARK_HOME of a spark-submit, or empty when it is one of those
// scripts that find it themselves.
func homeOf(submit string) string {
	resolved, err := filepath.EvalSymlinks(submit)
	if err != nil {
		return ""
	}
	home := filepath.Dir(filepath.Dir(resolved))
	if _, err := os.Stat(filepath.Join(home, "jars")); err != nil {
		return ""
	}
	return home
}
