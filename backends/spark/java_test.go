package spark_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/internal/run"
)

// greeting is a class that a jar or a package brings, with arguments that no shell
// or JVM may change.
const greeting = `package org.example;

public class Greeting {
  public static String word() { return "from a package"; }

  public static void main(String[] args) throws java.io.IOException {
    System.out.println(args.length + " arguments: " + String.join("|", args));
    java.nio.file.Files.writeString(java.nio.file.Path.of("outputs/greeting"), word());
    System.exit(args.length);
  }
}
`

// greetingJar compiles it into dir.
func greetingJar(t *testing.T, dir, name string) {
	t.Helper()
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "Greeting.java"), []byte(greeting), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{
		{"javac", "-d", filepath.Join(src, "classes"), filepath.Join(src, "Greeting.java")},
		{"jar", "--create", "--file", filepath.Join(dir, name), "-C", filepath.Join(src, "classes"), "."},
	} {
		if out, err := exec.CommandContext(t.Context(), line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line[0], err, out)
		}
	}
}

// A jar with its main class: its own exit code, its arguments, its outputs.
func TestJar(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "local[1]", "", "")
	dir := source(t, nil)
	greetingJar(t, dir, "greeting.jar")
	a := p.attempt(t, p.target(t).Snapshot(t, dir), "jar", "a b", "ü;$(x)", "")
	a.Config.Script, a.Config.Spark.MainClass = "greeting.jar", "org.example.Greeting"
	c := p.carryOut(t, p.new(t), a, nil)
	c.expect(t, run.OutcomeScriptFailed, 3)
	c.says(t, "3 arguments: a b|ü;$(x)|\n")
	c.has(t, "outputs/greeting")
}

// A package of a Maven repository that is a directory, by its coordinates.
func TestPackages(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "local[1]", "", "")
	repository := t.TempDir()
	at := filepath.Join(repository, "org", "example", "greeting", "1.0")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	greetingJar(t, at, "greeting-1.0.jar")
	for name, text := range map[string]string{
		filepath.Join(at, "greeting-1.0.pom"): `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>org.example</groupId><artifactId>greeting</artifactId><version>1.0</version></project>`,
		// Nothing is looked for in the network: the resolver besides our own has nothing.
		filepath.Join(repository, "ivysettings.xml"): fmt.Sprintf(`<ivysettings><settings defaultResolver="none"/><resolvers>
<ibiblio name="none" m2compatible="true" root="file://%s"/></resolvers></ivysettings>`, t.TempDir()),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := p.attempt(t, p.target(t).Snapshot(t, source(t, map[string]string{"train.py": `from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("it says", spark._jvm.org.example.Greeting.word(), flush=True)
`})), "packages")
	s := a.Config.Spark
	s.Packages, s.Repositories = []string{"org.example:greeting:1.0"}, []string{"file://" + repository}
	s.Configuration["spark.jars.ivySettings"] = filepath.Join(repository, "ivysettings.xml")
	s.Configuration["spark.jars.ivy"] = filepath.Join(t.TempDir(), "ivy")
	c := p.carryOut(t, p.new(t), a, nil)
	c.expect(t, run.OutcomeCompleted, 0)
	c.says(t, "it says from a package\n")
}
