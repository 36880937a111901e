package container

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/jsonstream"
)

func TestLayersAreSummed(t *testing.T) {
	at := func(id, status string, current, total int64) jsonstream.Message {
		m := jsonstream.Message{ID: id, Status: status}
		if total > 0 {
			m.Progress = &jsonstream.Progress{Current: current, Total: total}
		}
		return m
	}
	tests := []struct {
		name string
		says []jsonstream.Message
		want Progress
	}{
		{"nothing", nil, Progress{Detail: "0 of 0 layers"}},
		{"the tag is no layer", []jsonstream.Message{at("latest", "Pulling from library/x", 0, 0)}, Progress{Detail: "0 of 0 layers"}},
		{
			"two on their way",
			[]jsonstream.Message{at("a", "Pulling fs layer", 0, 0), at("b", "Pulling fs layer", 0, 0), at("a", "Downloading", 10, 100), at("b", "Downloading", 5, 50)},
			Progress{Done: 15, Total: 150, Layers: 2, Detail: "0 of 2 layers"},
		},
		{
			"unpacking counts what was downloaded",
			[]jsonstream.Message{at("a", "Downloading", 90, 100), at("a", "Download complete", 0, 0), at("a", "Extracting", 3, 100)},
			Progress{Done: 100, Total: 100, Layers: 1, Detail: "0 of 1 layers"},
		},
		{
			"one ready, one there before",
			[]jsonstream.Message{at("a", "Downloading", 100, 100), at("a", "Pull complete", 0, 0), at("b", "Already exists", 0, 0)},
			Progress{Done: 100, Total: 100, Ready: 2, Layers: 2, Detail: "2 of 2 layers"},
		},
		{
			"a small one that never says Downloading",
			[]jsonstream.Message{at("a", "Pulling fs layer", 0, 0), at("a", "Extracting", 32, 32), at("a", "Pull complete", 0, 0)},
			Progress{Done: 32, Total: 32, Ready: 1, Layers: 1, Detail: "1 of 1 layers"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var l layers
			for _, m := range test.says {
				l.add(m)
			}
			if diff := cmp.Diff(test.want, l.sum()); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
		})
	}
}
