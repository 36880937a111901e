// Package testenv starts the real engines that tests talk to: a Docker engine, an image registry, a conda-like
// solver, a package index, a Blob service. They are started once per machine, kept in a cache directory of their own
// ([StateDir]) and shared by all test processes, so that a warm start costs milliseconds.
//
// No engine of the user is touched: the Docker engine here has its own data, socket, bridge, containerd namespace
// and firewall rules, and is known by its process id and its own paths, never by a name that something else could have.
//
// A test that needs an engine calls [Docker], [Registry], [Conda], [PyIndex], [UV] or [Azurite]. What cannot be started
// fails the test in CI and as root, and skips it with a loud reason elsewhere ([Need]). What is shared stays up
// after the tests; the command in cmd/testenv installs, starts, shows and stops it.
package testenv
