package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sparkRequirements is the Spark that [Spark] installs, with what pyspark.ml needs.
func sparkRequirements() []string {
	return []string{"pyspark==4.3.0", "numpy==2.2.6", "setuptools==80.9.0"}
}

// SparkInstall is a Spark with its own spark-submit.
type SparkInstall struct {
	// Submit is spark-submit's path, Home is SPARK_HOME and Python an interpreter that has pyspark.
	Submit, Home, Python string
}

// Spark gives a Spark, installed with pip once and cached. It needs a Java.
func Spark(t testing.TB) SparkInstall {
	t.Helper()
	return begin(t, "spark", func(ctx context.Context) (SparkInstall, error) {
		if _, err := exec.LookPath("java"); err != nil {
			return SparkInstall{}, fmt.Errorf("spark: %w (Debian package openjdk-17-jre-headless)", err)
		}
		venv, err := cachedVenv(ctx, "spark", sparkRequirements()...)
		if err != nil {
			return SparkInstall{}, err
		}
		python := filepath.Join(venv, "bin/python")
		home, err := output(exec.CommandContext(ctx, python, "-c", "import pyspark; print(pyspark.__path__[0], end='')"))
		return SparkInstall{Submit: filepath.Join(home, "bin/spark-submit"), Home: home, Python: python}, err
	})
}

// SparkCluster is a standalone master with one worker.
type SparkCluster struct {
	// Master is its address, spark://HOST:PORT, and Port that of its page.
	Master, Port string
}

// SparkMaster starts a standalone master with one worker, for this test alone.
func SparkMaster(t testing.TB) SparkCluster {
	t.Helper()
	spark := Spark(t)
	return begin(t, "spark master", func(context.Context) (SparkCluster, error) { return startSparkMaster(t, spark) })
}

func startSparkMaster(t testing.TB, spark SparkInstall) (SparkCluster, error) {
	t.Helper()
	ports, err := freePorts(2)
	if err != nil {
		return SparkCluster{}, err
	}
	dir := t.TempDir()
	start := func(name string, ready func(context.Context) bool, args ...string) error {
		cmd := exec.Command(filepath.Join(spark.Home, "bin/spark-class"), args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SPARK_LOCAL_IP=127.0.0.1", "SPARK_WORKER_DIR="+filepath.Join(dir, "work"), "SPARK_DAEMON_MEMORY=300m",
			"PYSPARK_PYTHON="+spark.Python, "SPARK_NO_DAEMONIZE=1")
		return owned(t, cmd, filepath.Join(dir, name+".log"), ready)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	err = start("master", func(ctx context.Context) bool { return answers(ctx, address) },
		"org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", fmt.Sprint(ports[0]), "--webui-port", fmt.Sprint(ports[1]))
	if err != nil {
		return SparkCluster{}, err
	}
	log := filepath.Join(dir, "worker.log")
	err = start("worker", func(context.Context) bool { return says(log, "Successfully registered with master") },
		"org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "4", "--memory", "2g", "--webui-port", "0", "spark://"+address)
	return SparkCluster{Master: "spark://" + address, Port: fmt.Sprint(ports[1])}, err
}

// answers reports whether somebody listens.
func answers(ctx context.Context, address string) bool {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// says reports whether a log has a text.
func says(path, text string) bool {
	data, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(data), text)
}
