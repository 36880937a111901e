package main

import (
	"runtime"
	"runtime/debug"
)

// lateFirstCollection lets the heap grow to 16 MiB, in place of 4, before the
// garbage of a command that is soon over is looked for the first time; from then
// on it is collected as ever.
func lateFirstCollection() {
	const percent = 400
	was := debug.SetGCPercent(percent)
	if was < 0 || was >= percent {
		debug.SetGCPercent(was) // GOGC says so
		return
	}
	// Nothing but this call refers to it, so that the first collection finds it.
	// It has a pointer: else it might share its memory with what lives.
	runtime.AddCleanup(&struct{ _ *int }{}, func(was int) { debug.SetGCPercent(was) }, was)
}
