package sparksubmit

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
)

// driverProgram starts a Python script in the driver.
//
//go:embed driver.py
var driverProgram []byte

// driverConfig is what it is told.
type driverConfig struct {
	Script    string   `json:"script"`
	Arguments []string `json:"arguments"`
	// PIDFile is where it leaves its process id, for signals; only here.
	PIDFile string `json:"pid_file,omitempty"`
	// Variables that a driver in the cluster would not find otherwise, and Home:
	// where its outputs are kept for us. Both only in the cluster.
	Variables map[string]string `json:"variables,omitempty"`
	Home      string            `json:"home,omitempty"`
}

// The names of the files; the cluster knows the config by its name.
const (
	driverFile = "runner_driver.py"
	configFile = "runner-driver.json"
	pidFile    = "driver.pid"
)

// configVariable names the config's file where the driver runs here.
const configVariable = "RUNNER_SPARK_DRIVER"

// writeDriver writes the program that starts a Python script.
func (p *Plan) writeDriver(dir string, s *sent) error {
	if p.isJar() {
		return nil
	}
	s.driver, s.config = filepath.Join(dir, driverFile), filepath.Join(dir, configFile)
	c := driverConfig{Script: filepath.Join(p.Work, p.Script), Arguments: p.Arguments, PIDFile: filepath.Join(dir, pidFile)}
	if p.InCluster() {
		c.Script, c.Home, c.Variables, c.PIDFile = p.Script, p.staging(), map[string]string{}, ""
		for _, name := range p.Variables {
			if value, found := os.LookupEnv(name); found {
				c.Variables[name] = value
			}
		}
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	const private = 0o600
	if err := os.WriteFile(s.config, data, private); err != nil {
		return err
	}
	return os.WriteFile(s.driver, driverProgram, private)
}

// staging is where a driver in the cluster leaves its outputs, in the user's
// directory on the cluster's default file system.
func (p *Plan) staging() string { return ".runnerStaging/" + p.Tag() }
