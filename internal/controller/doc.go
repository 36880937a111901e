// Package controller is the reconcile loop: it looks at what is stored and at
// what the target says, and takes the one next step of each run.
//
// Every step is idempotent and keyed by run and attempt, and what a step is
// about to do is committed before it is done. There is no progress that lives
// in memory only: after kill -9 the loop looks again and goes on. What is kept
// in memory (who waits, who holds what, how far a preparation is) is a picture
// of the store and is made anew at start.
//
// Parts: a queue keeper per target grants slots (slots.go); a driver per run
// that holds a slot takes its steps (driver.go, steps.go); an observer per
// target asks for all running attempts in one question (observe.go). The
// methods that CLI, REST API and dashboard call are in the service files.
package controller
