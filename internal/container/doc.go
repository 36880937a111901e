// Package container keeps containers in the Docker engine of a host.
//
// The engine's socket is dialled through the host, so the same code works here
// and over SSH, with Docker from 20.10 on and with podman's compatible socket.
// A container carries the mark of its attempt in its name and labels: Run
// finds the first one when asked twice, Observe answers for all of an
// installation with one question, Watch tells of changes as they happen.
//
// The first process of a container is Runner's own supervisor, which keeps
// log, exit code and limits in a directory of the host; so there is no log
// handling here. Errors are *Error with a Kind: what an engine that is away
// leaves unknown (Unreachable) is never taken for an end.
package container
