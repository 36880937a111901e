// Package ssh is a virtual machine reached over SSH: internal/machine on a host
// that is not this computer. What it starts there goes on when the line breaks
// or we are gone, and is found again by its directory.
//
// Its tests carry out the whole conformance suite over a key's login. With the
// other 13 kinds of machine, user and login (testenv.SSHKinds) they go through
// the subjects in which each differs, unless RUNNER_CONFORMANCE=full (make
// conformance), since all of it costs 34 CPU seconds with dash, 51 behind two jump
// hosts and 62 through a ProxyCommand, each of whose connections is a process
// and two logins more: some eight minutes of a processor in all, and twice that
// with the race detector.
package ssh
