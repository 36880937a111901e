// Package provision makes environments on a host, once each.
//
// An environment is a directory, ROOT/environments/<digest>, or an image in the
// host's engine. Its making is a supervised process of its own, so that it goes
// on when we are gone and whoever comes next finds it running and follows it:
// the lock of its supervisor is the lock of the build, and outlives no process.
// What is there with its ready file is whole; anything else is removed and made
// again. All who want the same environment at once wait for one build, which is
// stopped when the last of them has left.
package provision
