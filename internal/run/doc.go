// Package run holds the life of a run as pure values: its states, its
// attempts, how an attempt may end, and the rules between them.
//
// A run is what a user submitted. It is carried out by one or more attempts;
// the states, the outcomes and the restart rules are tables in this package
// and everything else (exit codes, hints, metrics, the store, the dashboard)
// derives from them. Nothing here does I/O, reads a clock or starts a
// goroutine.
package run
