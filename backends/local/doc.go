// Package local carries attempts out on this computer: in Docker, or as plain
// processes. It is an internal/machine on this computer's host.Host, with the
// computer's size, so that our queue fills it.
package local
