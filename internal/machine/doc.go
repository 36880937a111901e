// Package machine carries attempts out on one machine: as a supervised process,
// or as a container whose first process is the same supervisor, on any
// host.Host. It is the whole of backends/local and backends/ssh but for how
// the host is reached.
//
// On the host an attempt is a directory, ROOT/runs/RUN/attempts/N:
//
//	attempt.json     what it is: its form, its environment (never a secret)
//	work/            a fresh copy of the source, the working directory
//	work.list        what its files were like when they were made, where that
//	                 lets a later attempt have it (internal/workcopy)
//	sup/             the supervisor's: its lock, the log, how it ended
//	inputs/          copies of inputs that are to be copied
//	environment.log  what the tools said that made the environment
//
// beside the run's own ROOT/runs/RUN/checkpoint. On this computer outputs/ and
// logs/ lie in the attempt's directory when they have come home, so Collect
// renames. Everything is found again by these names, so a Machine remembers
// nothing that matters and may be made anew at any moment.
package machine
