// Package backends holds the door to compute targets: the Backend interface,
// what goes through it, and what a backend may offer beyond it.
//
// A backend opens a door to one kind of machine and knows nothing of queues,
// stores or HTTP. Its seven verbs come in the order of an attempt's life and
// each may be called again after a crash at any point. backendtest is the
// conformance suite that each backend passes against the real thing.
//
// # Fit
//
// The verbs were written down for three kinds of engine before the code:
//
//	            process / container (here, SSH)   Slurm                        YARN
//	Prepare     unpack, make the environment      the same on the shared disk  the same, plus the packed archive
//	Start       supervise start / create+start    squeue --name, then sbatch   apps by tag, then spark-submit
//	Observe     one status of all directories     one squeue (+ sacct)         one ResourceManager query
//	Logs        the supervisor's file             the job's file               driver file, or yarn logs
//	Stop        the supervisor, with grace        scancel --signal, scancel    yarn application -kill
//	Collect     the work directory                the shared directory         staging directory by hadoop fs
//	Release     directory, container              directory                    directories
//
// An engine that owns its jobs answers Start before anything runs, so Pending
// is a phase of its own, and it names its jobs itself, so a Ref without a
// handle must be enough to find them by their mark.
package backends
