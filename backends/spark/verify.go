package spark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/sparksubmit"
)

// Found is what a machine has of Spark.
type Found struct {
	// Submit is spark-submit's path, and Version what it says of itself.
	Submit, Version string
}

// NotUsableError is a spark-submit that does not work.
type NotUsableError struct {
	Path string
	// Said is the last line that it wrote.
	Said string
}

func (e *NotUsableError) Error() string { return fmt.Sprintf("%s does not work: %s", e.Path, e.Said) }

// Hint says what a person can do.
func (e *NotUsableError) Hint() string {
	return "run it there with --version: it needs a Java, found by JAVA_HOME or in PATH"
}

// lookFor is a shell's search for spark-submit: the one that is named, or those
// places that "runner sparksubmit" looks in. It prints the path.
const lookFor = `if [ -n "$1" ]; then [ -x "$1" ] && printf %s "$1"; exit; fi
for p in "${SPARK_HOME:+$SPARK_HOME/bin/spark-submit}" "$(command -v spark-submit)" ` +
	`/usr/hdp/current/spark3-client/bin/spark-submit /usr/hdp/current/spark-client/bin/spark-submit ` +
	`/usr/hdp/current/spark2-client/bin/spark-submit /opt/spark/bin/spark-submit /usr/lib/spark/bin/spark-submit; do
if [ -n "$p" ] && [ -x "$p" ]; then printf %s "$p"; exit; fi; done; exit 1`

var versionWords = regexp.MustCompile(`version ([0-9][0-9A-Za-z._-]*)`)

// Verify finds spark-submit on a machine, and sees that it works and that the
// cluster's configuration is there.
func Verify(ctx context.Context, h host.Host, master, submit, hadoopConf string) (*Found, error) {
	var out bytes.Buffer
	err := h.Run(ctx, host.Command{Argv: []string{"/bin/sh", "-c", lookFor, "sh", submit}, Dir: "/", Stdout: &out})
	if _, failed := errors.AsType[*host.ExitError](err); failed {
		if submit != "" {
			return nil, &NotUsableError{Path: submit, Said: "it is not there, or no program"}
		}
		return nil, &sparksubmit.NotFoundError{}
	}
	if err != nil {
		return nil, fmt.Errorf("look for spark-submit: %w", err)
	}
	f := &Found{Submit: out.String()}
	var said bytes.Buffer
	err = h.Run(ctx, host.Command{Argv: []string{f.Submit, "--version"}, Dir: "/", Stdout: &said, Stderr: &said})
	m := versionWords.FindStringSubmatch(said.String())
	if exit, failed := errors.AsType[*host.ExitError](err); failed || err == nil && m == nil {
		words := strings.TrimSpace(said.String())
		if words == "" && exit != nil {
			words = exit.Error()
		}
		return nil, &NotUsableError{Path: f.Submit, Said: words[strings.LastIndex(words, "\n")+1:]}
	}
	if err != nil {
		return nil, fmt.Errorf("ask spark-submit for its version: %w", err)
	}
	f.Version = m[1]
	if master != "yarn" {
		return f, nil
	}
	_, err = yarnSite(ctx, h, hadoopConf)
	return f, err
}

// NoConfigurationError is a machine that does not say where its YARN is.
type NoConfigurationError struct{ Path string }

func (e *NoConfigurationError) Error() string {
	return "nothing says where YARN is: there is no " + e.Path
}

// Hint says what a person can do.
func (*NoConfigurationError) Hint() string {
	return "name the directory of the cluster's configuration with --hadoop-conf"
}

// yarnSite reads the cluster's configuration on a machine.
func yarnSite(ctx context.Context, h host.Host, conf string) ([]byte, error) {
	if conf == "" {
		var out bytes.Buffer
		err := h.Run(ctx, host.Command{
			Argv: []string{"/bin/sh", "-c", `printf %s "${YARN_CONF_DIR:-${HADOOP_CONF_DIR:-/etc/hadoop/conf}}"`}, Dir: "/", Stdout: &out,
		})
		if err != nil {
			return nil, fmt.Errorf("look for the cluster's configuration: %w", err)
		}
		conf = out.String()
	}
	name := path.Join(conf, "yarn-site.xml")
	f, err := h.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoConfigurationError{Path: name}
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	const most = 1 << 20
	return io.ReadAll(io.LimitReader(f, most))
}

// Identify gives what tells a master apart from others, as a machine sees it:
// which machine that is must be said besides for what is on the machine itself.
func Identify(ctx context.Context, h host.Host, master, hadoopConf string) (name string, ofMachine bool, err error) {
	switch {
	case master == "yarn":
		site, err := yarnSite(ctx, h, hadoopConf)
		if err != nil {
			return "", false, err
		}
		managers, err := sparksubmit.Managers(site)
		if err != nil {
			return "", false, fmt.Errorf("read the cluster's configuration: %w", err)
		}
		name = "yarn " + strings.Join(managers, " ")
	case strings.HasPrefix(master, "spark://"):
		name = master
	default:
		return "local", true, nil
	}
	return name, strings.Contains(name, "//127.") || strings.Contains(name, "//localhost") || name == "yarn ", nil
}
