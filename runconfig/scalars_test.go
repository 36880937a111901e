package runconfig_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/runnerml/runner/runconfig"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	tests := map[string]int64{
		"0": 0, "1": 1, "1024": 1024, "4GiB": 4 << 30, "4gib": 4 << 30, "500MB": 500_000_000, "2Gi": 2 << 30,
		"512m": 512 << 20, "1k": 1024, "1.5GiB": 3 << 29, "10 MiB": 10 << 20, "3b": 3, "1TB": 1_000_000_000_000, "1PiB": 1 << 50,
		"9223372036854775807": math.MaxInt64,
	}
	for text, want := range tests {
		if got, err := runconfig.ParseBytes(text); err != nil || int64(got) != want {
			t.Errorf("%q: %d, %v", text, int64(got), err)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "4 apples", "1e3", "1..5G", "0x10", "9223372036854775808", "99999PiB", "1.5", "NaN", "4GiBB"} {
		if got, err := runconfig.ParseBytes(text); err == nil {
			t.Errorf("%q: %d", text, int64(got))
		}
	}
}

func TestParseDuration(t *testing.T) {
	tests := map[string]time.Duration{
		"0": 0, "90": 90 * time.Second, "0.5": 500 * time.Millisecond, "2h": 2 * time.Hour, "90m": 90 * time.Minute,
		"1d12h": 36 * time.Hour, "1.5h": 90 * time.Minute, "1h 30m": 90 * time.Minute, "20ms": 20 * time.Millisecond, "-5s": -5 * time.Second,
	}
	for text, want := range tests {
		if got, err := runconfig.ParseDuration(text); err != nil || got.Std() != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "h", "soon", "2 hours", "1e300", "NaN", "Inf", "999999999d", "1h2", "--1s", "-"} {
		if got, err := runconfig.ParseDuration(text); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// Whatever the value, its text and its JSON give it back.
func TestScalarsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type scalars struct {
			B runconfig.Bytes    `json:"b" yaml:"b"`
			D runconfig.Duration `json:"d" yaml:"d"`
		}
		want := scalars{
			B: runconfig.Bytes(rapid.Int64Min(0).Draw(t, "bytes")),
			D: runconfig.Duration(rapid.Int64Min(math.MinInt64+1).Draw(t, "duration")),
		}
		text, err := yaml.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got scalars
		if err := yaml.Unmarshal(text, &got); err != nil || got != want {
			t.Fatalf("%s: %+v, %v", text, got, err)
		}
		small := scalars{B: want.B, D: want.D / 1e6 * 1e6}
		data, err := json.Marshal(small)
		if err != nil {
			t.Fatal(err)
		}
		got = scalars{}
		if err := json.Unmarshal(data, &got); err != nil || got.B != small.B || (got.D-small.D).Std().Abs() > time.Microsecond {
			t.Fatalf("%s: %+v, %v", data, got, err)
		}
	})
}

func TestScalarsInJSON(t *testing.T) {
	data, err := json.Marshal(runconfig.Resources{Nodes: 1, Memory: 4 << 30})
	if err != nil || string(data) != `{"nodes":1,"cpus":0,"memory":4294967296,"gpus":0}` {
		t.Errorf("%s, %v", data, err)
	}
	data, err = json.Marshal([]runconfig.Duration{runconfig.Duration(time.Minute), runconfig.Duration(1500 * time.Millisecond), -1})
	if err != nil || string(data) != `[60,1.5,-0.000000001]` {
		t.Errorf("%s, %v", data, err)
	}
}
