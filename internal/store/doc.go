// Package store keeps what must survive everything: runs with their attempts
// and events, sealed secrets, registered environments and locks, in one SQLite
// file in WAL mode.
//
// Everything that matters is committed, and on the disk, before the call that
// wrote it returns. One goroutine writes: it takes write functions from a
// channel, runs as many as wait in one transaction, each in a savepoint so
// that a failing one is undone alone, and commits them with one fsync. Reads
// have connections of their own and never wait for the writer.
//
// A run is changed in one way only, Update: the change is checked against the
// table of states in package run and stored with its events, or not at all.
// Who wants to know of changes subscribes.
package store
