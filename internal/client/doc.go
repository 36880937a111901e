// Package client speaks the API of package server, over the Unix socket of an
// agent or over TCP to a team's server.
//
// An answer that was lost is asked for again: reading is harmless, and a
// submission carries a request id under which the server finds the run that it
// made. What streams (a run's story, its log) is taken up again where it broke
// off, by event number or byte offset, so that the agent may be killed and
// started again in the middle and nobody sees a line twice or misses one.
// Local finds the agent of a RUNNER_HOME and starts one when none answers.
package client
