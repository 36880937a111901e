package sparksubmit

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/runnerml/runner/runconfig"
)

// properties are Spark properties: those that are asked for, and those that make
// the application ours.
func (p *Plan) properties() map[string]string {
	s := p.Spark
	all := maps.Clone(s.Configuration)
	if all == nil {
		all = map[string]string{}
	}
	set := func(name, value string, given bool) {
		if given {
			all[name] = value
		}
	}
	set("spark.driver.cores", strconv.Itoa(s.DriverCores), s.DriverCores > 0)
	set("spark.driver.memory", javaSize(s.DriverMemory), s.DriverMemory > 0)
	set("spark.executor.cores", strconv.Itoa(s.ExecutorCores), s.ExecutorCores > 0)
	set("spark.executor.memory", javaSize(s.ExecutorMemory), s.ExecutorMemory > 0)
	set("spark.executor.instances", strconv.Itoa(s.ExecutorInstances), s.ExecutorInstances > 0)
	if d := s.DynamicAllocation; d != nil {
		all["spark.dynamicAllocation.enabled"] = "true"
		set("spark.dynamicAllocation.minExecutors", strconv.Itoa(d.MinExecutors), d.MinExecutors > 0)
		set("spark.dynamicAllocation.maxExecutors", strconv.Itoa(d.MaxExecutors), d.MaxExecutors > 0)
	}
	if p.OnYARN() {
		tags := p.RunTag() + "," + p.Tag()
		if own := all["spark.yarn.tags"]; own != "" {
			tags = own + "," + tags
		}
		all["spark.yarn.tags"] = tags
		// We own the restart: YARN would start the driver again behind our back.
		all["spark.yarn.maxAppAttempts"] = "1"
		// Who asks for the application's end is asked, not spark-submit.
		set("spark.yarn.submit.waitAppCompletion", "false", p.InCluster())
	}
	if !p.isLocal() {
		for _, name := range p.Variables {
			if value, found := os.LookupEnv(name); found && !slices.Contains(p.Secrets, name) {
				all["spark.executorEnv."+name] = value
			}
		}
	}
	p.python(all)
	return all
}

// archivedEnvironment is what the environment is unpacked as on every node.
const archivedEnvironment = "environment"

// python says which interpreter driver and executors use.
func (p *Plan) python(all map[string]string) {
	set := func(name, value string) {
		if all[name] == "" {
			all[name] = value
		}
	}
	switch there := "./" + archivedEnvironment + "/bin/python"; {
	case p.Interpreter == "" || all["spark.pyspark.python"] != "":
	case !p.packs():
		set("spark.pyspark.python", p.Interpreter)
	case p.InCluster():
		set("spark.pyspark.python", there)
	default:
		set("spark.pyspark.driver.python", p.Interpreter)
		set("spark.pyspark.python", there)
	}
}

// javaSize is a size as the JVM has it, rounded up to a MiB.
func javaSize(b runconfig.Bytes) string {
	const mib = 1 << 20
	return strconv.FormatInt((int64(b)+mib-1)/mib, 10) + "m"
}

// writeProperties writes a properties file for spark-submit. Naming one makes
// spark-submit leave out spark-defaults.conf, so that comes first; of two lines
// for one property the later counts.
func writeProperties(path, defaults string, all map[string]string) error {
	var b bytes.Buffer
	if data, err := os.ReadFile(defaults); err == nil {
		b.Write(data)
		b.WriteByte('\n')
	} else if !os.IsNotExist(err) {
		return fmt.Errorf("read the cluster's defaults: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s=%s\n", escapeProperty(name, true), escapeProperty(all[name], false))
	}
	const private = 0o600
	return os.WriteFile(path, b.Bytes(), private)
}

// escapeProperty writes a text as java.util.Properties reads it.
func escapeProperty(text string, isName bool) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == ' ' && (i == 0 || isName), isName && strings.ContainsRune("=:#!", r):
			b.WriteString(`\` + string(r))
		case r > 0xffff:
			hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		case r < ' ' || r > '~':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// defaultsFile is the cluster's own properties, which every spark-submit reads.
func defaultsFile(submit string) string {
	dir := os.Getenv("SPARK_CONF_DIR")
	if dir == "" {
		home := os.Getenv("SPARK_HOME")
		if home == "" {
			home = homeOf(submit)
		}
		dir = filepath.Join(home, "conf")
	}
	return filepath.Join(dir, "spark-defaults.conf")
}
