// Package killtest holds the kill tests: the agent is killed with SIGKILL at
// random moments while short runs go through it, half of them processes, half
// containers, and is started again each time. Every run ends exactly once, with
// the right outcome and a complete log and outputs, and nothing stays behind.
// The same is done on a machine over SSH, where connections, server and line are
// cut as well.
//
// TestCut takes the line to a machine away, in a network namespace, for two
// minutes in each phase of a run (RUNNER_CUT_SECONDS: for so long) and for ever,
// and so the line to a bastion and the one behind it. That each blow falls into
// its phase, and that nothing comes over a line that was cut, is seen at that
// moment. TestPoorLine is a run over a line that is slow, jittery and lossy.
//
// TestKillBlob kills the agent, and the command that fetches, while 2,000 files
// and one of 2 GiB come in from Blob storage and go out to it (RUNNER_BLOB_KILLS:
// so often; without it, less of all), and counts the bytes that travel again.
// TestSharedBlob counts those of an input that ten runs want at once.
//
// All of them drive the real binary as a user does. RUNNER_SOAK_RUNS sets how
// many runs a kill test has (make soak: 200).
package killtest
