package sparksubmit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/runconfig"
)

// PlanFile is the name of a plan in an attempt's directory, and ReportFile that
// of the report that is kept beside it.
const (
	PlanFile   = "spark-plan.json"
	ReportFile = "spark.json"
)

// Plan is all that is needed to carry an application out. It may hold secrets
// (in Spark's configuration): its file has mode 0600.
type Plan struct {
	// Run and Attempt name the application and are its mark.
	Run     string `json:"run"`
	Attempt int    `json:"attempt"`
	// Name of the application, for people.
	Name string `json:"name"`
	// Submit is spark-submit's path; empty: it is looked for.
	Submit string `json:"submit,omitempty"`
	// HadoopConf is the directory of the cluster's configuration; empty: that of
	// the surroundings.
	HadoopConf string `json:"hadoop_conf,omitempty"`
	Master     string `json:"master"`
	DeployMode string `json:"deploy_mode"`
	// Script to start, relative to Work, and its Arguments.
	Script    string   `json:"script"`
	Arguments []string `json:"arguments,omitempty"`
	// Spark is that section of the spec.
	Spark runconfig.Spark `json:"spark"`
	// Work is the script's working directory.
	Work string `json:"work"`
	// Interpreter is the environment's Python on this machine; empty: the
	// cluster's own.
	Interpreter string `json:"interpreter,omitempty"`
	// Environment is the digest of the environment that Interpreter is of, when
	// it is one that we made, and that is sent along; empty: the nodes have it.
	Environment string `json:"environment,omitempty"`
	// Variables are the names of those variables of ours that executors, and a
	// driver in the cluster, are to find, too.
	Variables []string `json:"variables,omitempty"`
	// Secrets are the names of those that must not be shown.
	Secrets []string `json:"secrets,omitempty"`
	// Grace between the wish to end and the end of patience.
	Grace time.Duration `json:"grace"`
}

// Tag marks the application, and RunTag all of its run.
func (p *Plan) Tag() string { return fmt.Sprintf("runner-%s-%d", p.Run, p.Attempt) }

// RunTag marks all applications of the run.
func (p *Plan) RunTag() string { return "runner-" + p.Run }

// InCluster reports whether the driver runs in the cluster.
func (p *Plan) InCluster() bool { return p.DeployMode == runconfig.DeployCluster }

// OnYARN reports whether YARN runs the application.
func (p *Plan) OnYARN() bool { return p.Master == "yarn" }

// isStandalone reports whether a master of Spark's own has the workers.
func (p *Plan) isStandalone() bool { return strings.HasPrefix(p.Master, "spark://") }

// isLocal reports whether driver and executors are one process here.
func (p *Plan) isLocal() bool { return p.Master == "local" || strings.HasPrefix(p.Master, "local[") }

// readPlan reads a plan's file.
func readPlan(path string) (*Plan, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.Run == "" || p.Master == "" || !filepath.IsAbs(p.Work) {
		return nil, fmt.Errorf("%s: %w", path, errUsage)
	}
	return p, nil
}
