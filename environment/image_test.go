package environment_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/testenv"
)

func imageSpec(t *testing.T, python environment.Python) *environment.Resolved {
	t.Helper()
	resolved, err := environment.Resolve(t.Context(), &environment.Spec{Docker: &environment.Docker{Image: "cpu"}, Python: &python}, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func TestImageRecipe(t *testing.T) {
	resolved := imageSpec(t, environment.Python{Pip: []string{"six"}})
	recipe, err := resolved.ImageRecipe("python:3.12", "PIP_INDEX_URL")
	if err != nil {
		t.Fatal(err)
	}
	again, err := resolved.ImageRecipe("library/python:3.12")
	if err != nil {
		t.Fatal(err)
	}
	other, err := resolved.ImageRecipe("python:3.11")
	if err != nil {
		t.Fatal(err)
	}
	if recipe.Tag != again.Tag || recipe.Tag == other.Tag || !strings.HasPrefix(recipe.Tag, "runner/env:") {
		t.Errorf("tags %s, %s, %s", recipe.Tag, again.Tag, other.Tag)
	}
	want := []string{
		"FROM python:3.12",
		"USER 0",
		"ARG PIP_INDEX_URL",
		"COPY environment.sh python.sh /opt/runner/",
		"RUN /bin/sh /opt/runner/python.sh && /bin/sh /opt/runner/environment.sh && cp /opt/runner/venv/runner-lock.txt /opt/runner/runner-lock.txt && chmod -R a+rX /opt/runner",
		"ENV PATH=/opt/runner/venv/bin:$PATH VIRTUAL_ENV=/opt/runner/venv PYTHONNOUSERSITE=1",
		`LABEL dev.runner.environment="` + resolved.Digest + `"`,
	}
	if diff := cmp.Diff(strings.Join(want, "\n")+"\n", recipe.Dockerfile); diff != "" {
		t.Error(diff)
	}
}

func TestImageRecipeRefuses(t *testing.T) {
	for _, base := range []string{"", "cpu", "gpu", "a b", "x\nRUN evil"} {
		if _, err := imageSpec(t, environment.Python{Pip: []string{"six"}}).ImageRecipe(base); err == nil {
			t.Errorf("base %q is taken", base)
		}
	}
	if _, err := imageSpec(t, environment.Python{Pip: []string{"six"}}).ImageRecipe("python", "PATH"); err == nil {
		t.Error("PATH is taken as a build argument")
	}
	if _, err := (&environment.Resolved{Kind: environment.Venv}).ImageRecipe("python"); err == nil {
		t.Error("a venv has an image recipe")
	}
}

// The image is built by a real engine with its classic builder.
func TestImageRecipeBuilds(t *testing.T) {
	engine := testenv.Docker(t)
	index := testenv.PyIndexOn(t, engine.Gateway)
	resolved := imageSpec(t, environment.Python{Pip: []string{"runner-alone"}})
	recipe, err := resolved.ImageRecipe(engine.Base, "PIP_INDEX_URL", "PIP_TRUSTED_HOST")
	if err != nil {
		t.Fatal(err)
	}
	out, err := build(t, engine, recipe, "PIP_INDEX_URL="+index.URL, "PIP_TRUSTED_HOST="+engine.Gateway)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "-H", engine.Host, "rmi", "-f", recipe.Tag).Run() })
	active := resolved.Activate("")
	got, err := exec.CommandContext(t.Context(), "docker", "-H", engine.Host, "run", "--rm", "--user", "12345", recipe.Tag,
		active.Interpreter, "-c", "import runner_alone; print(runner_alone.ANSWER); print(open('"+environment.ImageLock+"').read()); print(open('"+environment.ImageReady+"').read())").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	for _, want := range []string{"42\n", "runner-alone==0.1", resolved.Digest[:20]} {
		if !strings.Contains(strings.ReplaceAll(string(got), "_", "-"), want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestImageRecipeWithoutPython(t *testing.T) {
	engine := testenv.Docker(t)
	recipe, err := imageSpec(t, environment.Python{Pip: []string{"runner-alone"}}).ImageRecipe(engine.Small)
	if err != nil {
		t.Fatal(err)
	}
	out, err := build(t, engine, recipe)
	if err == nil || !strings.Contains(out, "::error the base image has no Python and no package manager known here") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A base image without Python gets one from the package manager it has.
func TestImageRecipeInstallsPython(t *testing.T) {
	recipe, err := imageSpec(t, environment.Python{Pip: []string{"six"}}).ImageRecipe("x")
	if err != nil {
		t.Fatal(err)
	}
	script := environment.Recipe{Script: string(recipe.Files["python.sh"])}
	tests := []struct {
		manager, install string // the words of the command that installs
		works            bool
	}{
		{"apt-get", "install -y --no-install-recommends python3 python3-venv ca-certificates", true},
		{"apk", "add --no-cache python3 py3-pip", true},
		{"dnf", "install -y python3 python3-pip", true},
		{"microdnf", "install -y python3 python3-pip", true},
		{"apt-get", "nothing that is asked for", false},
	}
	for _, test := range tests {
		t.Run(test.manager+" "+test.install, func(t *testing.T) {
			m := newMachine(t)
			m.link(t, "/bin/ln", "ln")
			if err := os.Remove(filepath.Join(m.bin, "rm")); err != nil {
				t.Fatal(err)
			}
			m.script(t, "rm", "") // the package lists it would remove are this machine's own
			m.script(t, test.manager, `[ "$*" = '`+test.install+`' ] && ln -s '`+systemPython(t)+`' '`+m.bin+`/python3'; exit 0`)
			result := m.carryOut(t, script)
			if got := result.failure().Message; (result.exit == 0) != test.works || (got == "") != test.works {
				t.Errorf("exit %d, %q:\n%s", result.exit, got, result.output)
			}
			if !test.works && result.exit != environment.ExitFailed {
				t.Errorf("exit %d", result.exit)
			}
		})
	}
}

func build(t *testing.T, engine testenv.Engine, recipe environment.ImageRecipe, arguments ...string) (string, error) {
	t.Helper()
	directory := t.TempDir()
	recipe.Files["Dockerfile"] = []byte(recipe.Dockerfile)
	for name, content := range recipe.Files {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := []string{"-H", engine.Host, "build", "--rm", "--force-rm", "--no-cache", "-t", recipe.Tag}
	for _, argument := range arguments {
		line = append(line, "--build-arg", argument)
	}
	command := exec.CommandContext(t.Context(), "docker", append(line, directory)...)
	command.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	out, err := command.CombinedOutput()
	return string(out), err
}
