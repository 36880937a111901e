// Package host is the one way to a machine: run a command there, leave one
// running there, read and write files there, dial what listens there.
//
// Two makes share one interface. Here is this computer; the other reaches a
// machine over SSH. What is built on a Host (a supervised process, a container,
// spark-submit, sbatch) therefore works in both places, and quoting, cutting
// off and cleaning up exist once.
//
// hosttest.Suite says what every make must do.
package host
