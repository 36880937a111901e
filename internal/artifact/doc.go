// Package artifact is where outputs, logs and checkpoints of runs end: a Store,
// which is the directory of RUNNER_HOME or a blob store. artifacttest is what
// every Store passes.
//
// A Store has a Folder for each attempt and one for each run's checkpoint
// directory. A backend writes into a Folder as a Sink. A file is visible in it
// only whole: what was cut half-way is not there, and storing it again replaces
// it. A Store may keep the beginning out of sight, so that only the rest need
// come (Resumer).
package artifact
