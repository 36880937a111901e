package runconfig_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/runconfig"
)

func TestOutputs(t *testing.T) {
	const head = "command: train ${{outputs.model}} '${{ outputs.model }}'\noutputs:\n"
	c, err := runconfig.Parse("job.yaml", []byte(head+"  model: {path: 'azblob://team/models/iris'}\n  plots: {path: 'abfss://plots@team.dfs.core.windows.net/x', mode: upload, when: always}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]runconfig.Output{
		"model": {Path: "azblob://team/models/iris", Mode: "upload", When: "completed"},
		"plots": {Path: "abfss://plots@team.dfs.core.windows.net/x", Mode: "upload", When: "always"},
	}
	if diff := cmp.Diff(want, c.Outputs.Named); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), `"outputs":{"model":{"path":"azblob://team/models/iris","mode":"upload","when":"completed"}`) {
		t.Errorf("JSON is not the spec's form: %s", raw)
	}
	var again runconfig.ScriptRunConfig
	if err := json.Unmarshal(raw, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Outputs, again.Outputs); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	line := c.CommandLine("python3", map[string]string{runconfig.OutputKey("model"): "/w/out put's"})
	if got := line[2]; got != `train '/w/out put'"'"'s' '/w/out put'\''s'` {
		t.Errorf("command %q", got)
	}
	var none runconfig.ScriptRunConfig
	if raw, err := json.Marshal(none); err != nil || strings.Contains(string(raw), "outputs") {
		t.Errorf("no outputs are told: %s, %v", raw, err)
	}
}

func TestOutputsThatAreWrong(t *testing.T) {
	for name, tc := range map[string]struct{ spec, want, hint string }{
		"no path":             {"outputs: {model: {}}", "outputs.model has no path", "azblob://ACCOUNT"},
		"a path alone":        {"outputs: {model: 'azblob://a/b'}", "must be a mapping", "write model: {path: ...}"},
		"a directory":         {"outputs: {model: {path: ./x}}", "ends in Azure Blob Storage, not in a directory", "comes home by itself"},
		"a misspelt field":    {"outputs: {model: {pth: 'azblob://abc/bcd'}}", `unknown field "pth"`, "path"},
		"another mode":        {"outputs: {model: {path: 'azblob://abc/bcd', mode: rw_mount}}", `unknown mode "rw_mount"`, "mode: upload"},
		"another time":        {"outputs: {model: {path: 'azblob://abc/bcd', when: allways}}", `"allways" is no time to upload`, "always"},
		"another scheme":      {"outputs: {model: {path: 's3://abc/bcd'}}", "outputs to s3:// are not known", ""},
		"a secret":            {"outputs: {model: {path: 'https://abc.blob.core.windows.net/bcd?sv=1&sig=x'}}", "the address holds a signature (SAS)", "storage_accounts"},
		"a name":              {"outputs: {my-model: {path: 'azblob://abc/bcd'}}", `"my-model" is no name for an output`, "RUNNER_OUTPUT_"},
		"two names":           {"outputs: {Model: {path: 'azblob://abc/bcd'}, model: {path: 'azblob://abc/bcd'}}", "differ only in case", "RUNNER_OUTPUT_MODEL"},
		"a variable of ours":  {"environment_variables: {RUNNER_OUTPUT_X: a}", "RUNNER_OUTPUT_X is set by Runner itself", ""},
		"no such output":      {"command: x ${{outputs.mdel}}\noutputs: {model: {path: 'azblob://abc/bcd'}}", "${{outputs.mdel}} names no output", "model"},
		"no outputs":          {"command: x ${{outputs.model}}", "names an output and the spec has no outputs", "describe it under outputs:"},
		"neither":             {"command: x ${{output.model}}", "stands for nothing", "${{outputs.NAME}}"},
		"a list":              {"outputs: [a]", "outputs must be a mapping", ""},
		"no mapping, a field": {"outputs: {model: {path: [a]}}", "outputs.model.path must be", ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec := tc.spec
			if !strings.Contains(spec, "command:") {
				spec = "command: x\n" + spec
			}
			_, err := runconfig.Parse("job.yaml", []byte(spec+"\n"), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.hint) {
				t.Errorf("got %v\nwant %q, %q", err, tc.want, tc.hint)
			}
		})
	}
}
