package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// YARNCluster is a YARN with HDFS, of Hadoop's own daemons, with one node.
type YARNCluster struct {
	// Conf is the directory of its configuration, HADOOP_CONF_DIR.
	Conf string
	// Bin is a directory with "yarn" and "hadoop", as a machine of a cluster has them in its PATH.
	Bin string
	// Page is the address of the ResourceManager's pages.
	Page string
	// KillNode ends the NodeManager as a lost node would.
	KillNode func()
}

// hadoopProject names the jars that hold all of Hadoop's daemons. The ResourceManager does not start without
// Bouncy Castle.
const hadoopProject = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>runner</groupId><artifactId>testenv</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-client-minicluster</artifactId><version>3.5.0</version></dependency>
<dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-client-runtime</artifactId><version>3.5.0</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
<dependency><groupId>org.bouncycastle</groupId><artifactId>bcprov-jdk18on</artifactId><version>1.80</version></dependency>
<dependency><groupId>org.bouncycastle</groupId><artifactId>bcpkix-jdk18on</artifactId><version>1.80</version></dependency>
</dependencies></project>
`

// hadoopJars is the directory of Hadoop's jars, fetched with Maven once and cached.
func hadoopJars(ctx context.Context) (string, error) {
	parent, err := stateSubdir("hadoop")
	if err != nil {
		return "", err
	}
	jars := filepath.Join(parent, digest(hadoopProject))
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	release, err := lock(ctx, filepath.Join(parent, "lock"))
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	half := jars + ".half"
	if err := errors.Join(os.RemoveAll(half), os.MkdirAll(half, 0o700)); err != nil {
		return "", err
	}
	project := filepath.Join(parent, "pom.xml")
	if err := os.WriteFile(project, []byte(hadoopProject), 0o600); err != nil {
		return "", err
	}
	if _, err := output(exec.CommandContext(ctx, "mvn", "--quiet", "--batch-mode", "--file", project,
		"dependency:copy-dependencies", "-DoutputDirectory="+half)); err != nil {
		return "", fmt.Errorf("hadoop's jars: %w (Debian package maven)", err)
	}
	return jars, os.Rename(half, jars)
}

// YARN starts a YARN with HDFS, for this test alone.
func YARN(t testing.TB) *YARNCluster {
	t.Helper()
	return begin(t, "yarn", func(ctx context.Context) (*YARNCluster, error) {
		jars, err := hadoopJars(ctx)
		if err != nil {
			return nil, err
		}
		return startYARN(ctx, t, jars)
	})
}

func startYARN(ctx context.Context, t testing.TB, jars string) (*YARNCluster, error) {
	t.Helper()
	dir := t.TempDir()
	ports, err := freePorts(8)
	if err != nil {
		return nil, err
	}
	y := &YARNCluster{Conf: filepath.Join(dir, "conf"), Bin: filepath.Join(dir, "bin"), Page: fmt.Sprintf("http://127.0.0.1:%d", ports[0])}
	if err := writeHadoopConf(y.Conf, dir, ports); err != nil {
		return nil, err
	}
	if err := writeHadoopPrograms(y.Bin, y.Conf, jars); err != nil {
		return nil, err
	}
	java := func(class string, args ...string) *exec.Cmd {
		cmd := exec.Command("java", append([]string{
			"-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true",
			"-Dyarn.log.dir=" + dir, "-Dhadoop.log.dir=" + dir, "-cp", y.Conf + ":" + jars + "/*", "org.apache.hadoop." + class,
		}, args...)...)
		cmd.Dir = dir
		return cmd
	}
	if _, err := output(java("hdfs.server.namenode.NameNode", "-format", "-nonInteractive")); err != nil {
		return nil, err
	}
	at := func(i int) func(context.Context) bool {
		address := fmt.Sprintf("127.0.0.1:%d", ports[i])
		return func(ctx context.Context) bool { return answers(ctx, address) }
	}
	for _, d := range []struct {
		name, class string
		ready       func(context.Context) bool
	}{
		{"namenode", "hdfs.server.namenode.NameNode", at(1)},
		{"datanode", "hdfs.server.datanode.DataNode", at(6)},
		{"resourcemanager", "yarn.server.resourcemanager.ResourceManager", at(0)},
		{"nodemanager", "yarn.server.nodemanager.NodeManager", at(7)},
	} {
		if err := owned(t, java(d.class), filepath.Join(dir, d.name+".log"), d.ready); err != nil {
			return nil, err
		}
	}
	y.KillNode = func() {
		for _, pid := range running(dir, "java") {
			if args := commandLine(pid); strings.HasSuffix(args[len(args)-1], "NodeManager") {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill()
				}
			}
		}
	}
	for !y.hasNode(ctx) {
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("yarn has no node: %w\n%s", err, tail(filepath.Join(dir, "nodemanager.log")))
		}
	}
	return y, nil
}

// hasNode reports whether the node has been taken in.
func (y *YARNCluster) hasNode(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, y.Page+"/ws/v1/cluster/metrics", nil)
	if err != nil {
		return false
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	data := make([]byte, 64<<10)
	n, _ := response.Body.Read(data)
	return strings.Contains(string(data[:n]), `"activeNodes":1`)
}

// writeHadoopPrograms writes the two programs that Hadoop's distribution has and its jars lack.
func writeHadoopPrograms(bin, conf, jars string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	script := func(cases string) []byte {
		return fmt.Appendf(nil, "#!/bin/sh\ncase \"$1\" in\n%s*) echo \"unknown: $1\" >&2; exit 2;;\nesac\nshift $skip\n"+
			"exec java -Xmx300m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '%s:%s/*' org.apache.hadoop.$class \"$@\"\n", cases, conf, jars)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(bin, "yarn"), script("application) class=yarn.client.cli.ApplicationCLI skip=0;;\nlogs) class=yarn.client.cli.LogsCLI skip=1;;\n"), 0o755),
		os.WriteFile(filepath.Join(bin, "hadoop"), script("fs) class=fs.FsShell skip=1;;\n"), 0o755),
	)
}

// writeHadoopConf writes the configuration of a cluster on loopback.
func writeHadoopConf(conf, dir string, ports []int) error {
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	local := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	const anywhere = "127.0.0.1:0"
	sites := map[string][][2]string{
		"core-site.xml": {{"fs.defaultFS", "hdfs://" + local(1)}, {"hadoop.tmp.dir", filepath.Join(dir, "tmp")}},
		"hdfs-site.xml": {
			{"dfs.replication", "1"},
			{"dfs.namenode.rpc-bind-host", "127.0.0.1"},
			{"dfs.namenode.http-address", anywhere},
			{"dfs.datanode.address", anywhere},
			{"dfs.datanode.http.address", anywhere},
			{"dfs.datanode.ipc.address", local(6)},
			{"dfs.datanode.hostname", "127.0.0.1"},
			{"dfs.namenode.datanode.registration.ip-hostname-check", "false"},
			{"dfs.namenode.safemode.extension", "0"},
		},
		"yarn-site.xml": {
			{"yarn.resourcemanager.hostname", "127.0.0.1"},
			{"yarn.resourcemanager.webapp.address", local(0)},
			{"yarn.resourcemanager.address", local(2)},
			{"yarn.resourcemanager.scheduler.address", local(3)},
			{"yarn.resourcemanager.resource-tracker.address", local(4)},
			{"yarn.resourcemanager.admin.address", local(5)},
			{"yarn.nodemanager.hostname", "127.0.0.1"},
			{"yarn.nodemanager.bind-host", "127.0.0.1"},
			{"yarn.nodemanager.address", anywhere},
			{"yarn.nodemanager.localizer.address", anywhere},
			{"yarn.nodemanager.webapp.address", local(7)},
			{"yarn.nodemanager.resource.memory-mb", "4096"},
			{"yarn.nodemanager.resource.cpu-vcores", "8"},
			{"yarn.scheduler.minimum-allocation-mb", "256"},
			{"yarn.nodemanager.vmem-check-enabled", "false"},
			{"yarn.log-aggregation-enable", "true"},
			{"yarn.nodemanager.remote-app-log-dir", "/logs"},
			{"yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "99"},
			{"yarn.nodemanager.local-dirs", filepath.Join(dir, "node")},
			{"yarn.nodemanager.log-dirs", filepath.Join(dir, "node-logs")},
			{"yarn.nm.liveness-monitor.expiry-interval-ms", "10000"},
			{"yarn.am.liveness-monitor.expiry-interval-ms", "120000"},
		},
		"capacity-scheduler.xml": {
			{"yarn.scheduler.capacity.root.queues", "default"},
			{"yarn.scheduler.capacity.root.default.capacity", "100"},
			{"yarn.scheduler.capacity.maximum-am-resource-percent", "0.8"},
		},
	}
	var problems []error
	for name, properties := range sites {
		var b strings.Builder
		b.WriteString("<configuration>\n")
		for _, p := range properties {
			fmt.Fprintf(&b, "<property><name>%s</name><value>%s</value></property>\n", p[0], p[1])
		}
		b.WriteString("</configuration>\n")
		problems = append(problems, os.WriteFile(filepath.Join(conf, name), []byte(b.String()), fs.FileMode(0o644)))
	}
	const log4j = "log4j.rootLogger=INFO,stderr\nlog4j.appender.stderr=org.apache.log4j.ConsoleAppender\nlog4j.appender.stderr.target=System.err\n" +
		"log4j.appender.stderr.layout=org.apache.log4j.PatternLayout\nlog4j.appender.stderr.layout.ConversionPattern=%d{ISO8601} %p %c: %m%n\n"
	return errors.Join(append(problems, os.WriteFile(filepath.Join(conf, "log4j.properties"), []byte(log4j), 0o644))...)
}
