package sparksubmit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// Report is what is known of an application.
type Report struct {
	// Application is Spark's own id, "application_..." on YARN.
	Application string `json:"application_id,omitempty"`
	// State and Final status in YARN's own words.
	State string `json:"state,omitempty"`
	Final string `json:"final_status,omitempty"`
	// Progress in percent, as YARN has it.
	Progress float64 `json:"progress,omitempty"`
	// URL of the page that shows the application.
	URL string `json:"tracking_url,omitempty"`
	// Reason in words: why it waits, or what it was ended by.
	Reason string `json:"reason,omitempty"`
	// Outcome that the cluster's words mean; empty: the exit code says it.
	Outcome run.Outcome `json:"outcome,omitempty"`
	// Home: what a driver in the cluster left has been fetched from there.
	Home bool `json:"home,omitempty"`
	// Concluded: whoever followed the application has come to its own end. Without
	// it a follower that is gone was killed.
	Concluded bool      `json:"concluded,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

// keeper keeps a report in its file, whole at every moment.
type keeper struct {
	path string

	mu     sync.Mutex
	report Report
}

// change changes the report and writes it, when anything is new.
func (k *keeper) change(f func(*Report)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := k.report
	f(&next)
	if next == k.report {
		return nil
	}
	next.UpdatedAt = time.Now().UTC()
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	const private = 0o600
	half := k.path + ".half"
	if err := os.WriteFile(half, data, private); err != nil {
		return err
	}
	if err := os.Rename(half, k.path); err != nil {
		return err
	}
	k.report = next
	return nil
}

// now is the report as it is.
func (k *keeper) now() Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.report
}

// reportBeside is the keeper of the report beside a plan; what was there is
// taken over.
func reportBeside(plan string) *keeper {
	k := &keeper{path: filepath.Join(filepath.Dir(plan), ReportFile)}
	if data, err := os.ReadFile(k.path); err == nil {
		_ = json.Unmarshal(data, &k.report) // cut: it is told anew
	}
	return k
}
