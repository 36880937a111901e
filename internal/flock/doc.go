// Package flock is a lock between processes that outlives none of them: the
// kernel lets go of it when its holder dies. A directory is locked as it is and
// nothing is left in it; an object that does not exist yet has a file of its own
// for its lock, which its holder may remove.
package flock
