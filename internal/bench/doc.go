// Command bench compares Runner with the bare tools on this machine, in this
// run: python3, docker run, docker logs, tar | zstd, rsync. What it prints are
// medians of interleaved repetitions and their ratios, because a single timing
// says more about the machine than about the program.
//
// It is no test: it exits 0 whatever the figures are, and fails only when
// something did not work at all. Each bench is a file of its own and runs in a
// RUNNER_HOME of its own, with the runner built from this tree; what it starts
// and writes is gone afterwards. Its bounds are those of the project.
//
//	go run ./internal/bench [-o json] [-quick] [NAME...]
package main
