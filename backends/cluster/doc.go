// Package cluster carries attempts out as jobs of a batch engine: Slurm
// (package slurm), and others that speak Engine.
//
// Where the engine is spoken to (its login node, or this computer) is a
// machine (internal/machine) whose directory the compute nodes see, too. So
// sources, environments, logs, outputs and checkpoints are what they are on
// any machine, and on the compute node the same supervisor keeps the script:
// limits, grace, exit code, redaction and log are one piece of code
// everywhere. The engine queues, places, and takes away; how an attempt ended
// is read from both words, the supervisor's and the engine's (see evidence).
//
// The one owner of restarts is our controller. The engine is told never to run
// a job again; a job that it took (preempted, node lost) is an ended attempt,
// and what follows is the next attempt, with the run's checkpoint directory.
//
// A job's mark, its name and comment, is known before it is submitted, so an
// answer that was lost is looked for and never asked for again; and what the
// script is given can be taken by one job only, whatever happens.
//
// The conformance suite passes but for one case, which a cluster cannot have:
// "interpreter not there" before the job runs, because only the compute nodes
// know which programs they have; the supervisor there says it. Memory is held
// by the engine where it has control groups, by nobody else.
//
// All jobs of a target are watched by one question (see board), and its nodes
// seen by another (see poolView): the engine says what they are, the board
// which have runs of ours.
package cluster
