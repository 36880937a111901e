// Command runner trains models on any compute target: it takes a spec,
// pictures the source directory, and has an agent carry the run out.
//
// One file per command, with little logic: what a command asks goes through
// package client to an agent (started by itself when none is there) or to a
// team's server. What a person reads goes to standard output, what is only
// said on the way to standard error. Errors are rendered, and exit codes
// chosen, in one place: errors.go.
package main
