// Package ranks starts the processes of a distributed run on one node: "runner
// ranks", the attempt's main process below its supervisor.
//
// Each process is told its rank and where the others are, in the variables of
// its framework. What they write goes to the one log in whole lines, with
// "[rank N] " before each when there are several. The first that fails ends the
// others, and its exit code, or its signal, becomes the attempt's. Signals that
// come to us go to all of them, once. MPI's processes are started by the
// environment's own mpirun, which starts us again as each of them (see mpi.go)
// so that they are told, and write, the same way.
//
// Of several nodes each has such a launcher (see nodes.go), which has no
// supervisor above it: it leaves nothing there (see nodeend.go).
package ranks
