package container

import (
	"fmt"

	"github.com/moby/moby/api/types/jsonstream"
)

// Progress is how far a pull or a build is.
type Progress struct {
	// Done and Total bytes of the layers downloaded; Total grows as layers are
	// met, and is zero while it is unknown.
	Done, Total int64
	// Ready of Layers are downloaded and unpacked.
	Ready, Layers int
	// Step of Steps, in a build.
	Step, Steps int
	// Detail is a line for a person.
	Detail string
}

// layers sums the progress of an image's layers.
type layers struct {
	byID map[string]*layer
}

type layer struct {
	done, total int64
	ready       bool
}

// add takes one message of a pull's stream in; it reports whether that was
// about a layer.
func (l *layers) add(m jsonstream.Message) bool {
	if m.ID == "" {
		return false
	}
	if l.byID == nil {
		l.byID = map[string]*layer{}
	}
	at := l.byID[m.ID]
	if at == nil {
		switch m.Status {
		case "Pulling fs layer", "Waiting", "Downloading", "Extracting", "Already exists", "Verifying Checksum", "Download complete", "Pull complete":
		default:
			return false // "Pulling from library/alpine" has the tag as its id
		}
		at = &layer{}
		l.byID[m.ID] = at
	}
	switch m.Status {
	case "Downloading":
		if p := m.Progress; p != nil {
			at.done, at.total = p.Current, max(at.total, p.Total)
		}
	case "Extracting":
		if p := m.Progress; p != nil { // a small layer never says "Downloading"
			at.total = max(at.total, p.Total)
		}
		at.done = at.total
	case "Verifying Checksum", "Download complete":
		at.done = at.total
	case "Pull complete", "Already exists":
		at.done, at.ready = at.total, true
	}
	return true
}

// sum is the progress of all layers together.
func (l *layers) sum() Progress {
	var p Progress
	for _, at := range l.byID {
		p.Done += at.done
		p.Total += at.total
		p.Layers++
		if at.ready {
			p.Ready++
		}
	}
	p.Done = min(p.Done, p.Total)
	p.Detail = fmt.Sprintf("%d of %d layers", p.Ready, p.Layers)
	return p
}
