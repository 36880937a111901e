// Package server is the one way in: HTTP on top of the service's methods.
//
// The command line, the REST API and the dashboard all come through here. An
// agent serves it on the Unix socket in RUNNER_HOME (Agent); `runner serve`
// adds a TCP listener that wants a token. Answers are JSON; a run's live story
// is a stream of JSON lines; a log is a stream of bytes that can be taken up
// again at any offset. A stream that this process has to cut (it stops, or
// dies) ends in a broken connection, never in a clean end, so that a client
// always knows whether it has seen everything. What goes wrong is a Problem:
// one table says its status and its exit code.
package server
