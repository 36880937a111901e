// Package killtest holds the kill test: the agent is killed with SIGKILL at
// random moments while short runs go through it, half of them processes, half
// containers, and is started again each time. Every run ends exactly once, with
// the right outcome and a complete log and outputs, and nothing stays behind.
//
// It drives the real binary as a user does. RUNNER_SOAK_RUNS sets how many
// runs there are (make soak: 200).
package killtest
