// Package compute is about compute targets as things: how one is named and
// reached, what was found on it, whose it is, and what of it must be kept
// secret.
//
// A target is attached once. Attaching visits the machine (Machines.Visit),
// asks what it has, compares it with those that are attached already (by what
// it is, never by how its address is spelt), leaves a claim on it that other
// installations see, and opens its backend. All later connections compare the
// claim again, so that a machine that somebody took over is not used behind
// his back. Detaching removes what we put there and nothing else.
//
// Secrets are references ("env:NAME", "file:PATH"), or values that whoever
// stores targets seals; this package never writes one.
package compute
