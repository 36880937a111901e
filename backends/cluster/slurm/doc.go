// Package slurm speaks to Slurm (20.11 and newer) by its own commands, on any
// host.Host: sbatch, squeue, scancel, scontrol, and sacct where accounting is kept.
//
// squeue is read in a format of our own, with times as seconds, which has been
// the same in all versions; the documents of --json change their shape from
// version to version and are many times as large. So it is with scontrol's
// records of nodes, partitions and the configuration, of which a pool is made.
//
// Requeue by Slurm is off (--no-requeue): PREEMPTED and NODE_FAIL are ends of
// a job, and what follows is our controller's to decide. All that decides what
// becomes of a run is said explicitly; what a partition, an account or a site
// decides (its default partition and time limit, memory when a spec asks for
// none) stays theirs.
package slurm
