package sparksubmit

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnerml/runner/runconfig"
)

// sent is what goes along with an application, made before it is submitted.
type sent struct {
	// properties, driver and config are files of ours: Spark's properties, the
	// Python that starts the script, and what it is told.
	properties, driver, config string
	// packed is the environment as an archive; empty: not sent.
	packed string
	// modules is a zip of the source's Python modules, and source of all of it;
	// empty: not sent.
	modules, source string
}

// commandLine of spark-submit. It goes to exec, not to a shell; spark-submit
// itself hands each argument on as it is, but for carriage returns, which is one
// reason why a Python script's own arguments are not among them.
func (p *Plan) commandLine(submit string, s sent) []string {
	line := []string{submit, "--master", p.Master}
	if p.Spark.Configuration["spark.app.name"] == "" { // which it would win over
		line = append(line, "--name", oneLine(p.Name))
	}
	line = append(line, "--properties-file", s.properties)
	if p.OnYARN() || p.InCluster() {
		line = append(line, "--deploy-mode", p.DeployMode)
	}
	pyFiles, files, archives := p.placed(p.Spark.PyFiles), p.placed(p.Spark.Files), p.placed(p.Spark.Archives)
	if s.modules != "" {
		pyFiles = append(pyFiles, address(s.modules))
	}
	if s.source != "" {
		archives = append(archives, address(s.source)+"#"+archivedSource)
	}
	if p.InCluster() && s.config != "" {
		files = append(files, address(s.config))
	}
	if s.packed != "" {
		archives = append(archives, address(s.packed)+"#"+archivedEnvironment)
	}
	for _, list := range []struct {
		flag   string
		values []string
	}{
		{"--py-files", pyFiles},
		{"--files", files},
		{"--archives", archives},
		{"--jars", p.placed(p.Spark.Jars)},
		{"--packages", p.Spark.Packages},
		{"--repositories", p.Spark.Repositories},
	} {
		if len(list.values) > 0 {
			line = append(line, list.flag, strings.Join(list.values, ","))
		}
	}
	if p.isJar() {
		line = append(line, "--class", p.Spark.MainClass, filepath.Join(p.Work, p.Script))
		return append(line, p.Arguments...)
	}
	return append(line, s.driver)
}

// archivedSource is what the source is unpacked as on every node.
const archivedSource = "source"

func (p *Plan) isJar() bool {
	c := runconfig.ScriptRunConfig{Script: p.Script}
	return c.IsJar()
}

// placed are names as spark-submit finds them: what is no address is a file of
// the source, unpacked under the name after a #.
func (p *Plan) placed(names []string) []string {
	placed := slices.Clone(names)
	for i, name := range placed {
		if strings.Contains(name, ":/") {
			continue
		}
		file, under, named := strings.Cut(name, "#")
		if !filepath.IsAbs(file) {
			file = filepath.Join(p.Work, file)
		}
		if placed[i] = address(file); named {
			placed[i] += "#" + under
		}
	}
	return placed
}

// address of a file here. Spark takes a name with a space or the like in it for no
// address, and then the # for a part of the name.
func address(file string) string { return (&url.URL{Scheme: "file", Path: file}).String() }

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
