package runconfig

import (
	"path/filepath"
	"time"
)

// The defaults that Load fills in.
const (
	DefaultTarget   = "local"
	DefaultGrace    = Duration(30 * time.Second)
	DefaultNodes    = 1
	DefaultCPUs     = 1
	DefaultRestarts = 10 // after a preemption or a lost node
	ModeMount       = "mount"
	ModeCopy        = "copy"
	UploadLive      = "live"
	UploadEnd       = "end"
	DefaultEvery    = Duration(time.Minute)
)

// fill writes out the defaults and makes paths absolute; directory is what
// they are relative to.
func (c *ScriptRunConfig) fill(directory string) {
	if c.SourceDirectory == "" {
		c.SourceDirectory = "."
	}
	c.SourceDirectory = anchored(directory, c.SourceDirectory)
	if c.Kind == KindSpark && c.Spark == nil {
		c.Spark = &Spark{}
	}
	c.takeAzureML()
	if c.Spark != nil && c.Kind == "" {
		c.Kind = KindSpark
	}
	if c.Experiment == "" {
		c.Experiment = experimentName(filepath.Base(c.SourceDirectory))
	}
	if c.ComputeTarget == "" {
		c.ComputeTarget = DefaultTarget
	}
	if c.Resources.Nodes == 0 {
		c.Resources.Nodes = DefaultNodes
	}
	if c.Resources.CPUs == 0 {
		c.Resources.CPUs = DefaultCPUs
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.VMPriority == "" {
		c.VMPriority = Dedicated
	}
	if c.Distributed != nil && c.Distributed.ProcessesPerNode == 0 {
		c.Distributed.ProcessesPerNode = max(1, c.Resources.GPUs)
	}
	if c.Outputs.Upload == UploadLive && c.Outputs.Every == 0 {
		c.Outputs.Every = DefaultEvery
	}
	for name, input := range c.Inputs {
		if input.Mode == "" {
			input.Mode = ModeMount
		}
		if input.Kind() == InputLocal {
			input.Path = anchored(directory, input.Path)
		}
		c.Inputs[name] = input
	}
	c.Outputs.fill()
	c.fillArray(directory)
	if c.Environment != nil {
		if c.Environment.File != "" {
			c.Environment.File = anchored(directory, c.Environment.File)
		}
		if c.Environment.Spec != nil {
			c.Environment.Spec.AnchorFiles(directory)
		}
	}
}

func anchored(directory, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(directory, path)
}

// PreemptedRestarts is how many times a preempted or lost attempt is followed
// by another.
func (r Restart) PreemptedRestarts() int {
	if r.Preempted == nil {
		return DefaultRestarts
	}
	return *r.Preempted
}

// FailedRestarts is how many times a failed attempt is followed by another.
func (r Restart) FailedRestarts() int {
	if r.Failed == nil {
		return 0
	}
	return *r.Failed
}
