// Package sshhost is a machine reached over SSH, as a [host.Host].
//
// One connection serves a target, with many sessions on it; where the server
// gives too few of them, there are more. Every operation goes through one wrapper, which connects when there is no connection, waits
// between tries, and repeats what is safe to repeat: looking, reading, writing
// whole files, removing. A command is never run twice: when the line breaks
// after it was sent, the error says that its fate is unknown.
//
// Each login asks one script for all that is needed to begin: our directory,
// what the machine is and since which boot, and a few files (Greeting). The
// same session then becomes the command that most need first (Config.Ahead).
//
// The login shell of the user may be any. It gets one fixed line that all
// shells read alike, which starts sh; sh reads what to do from its standard
// input. So no argument and no secret is in the process list, quoting happens
// once, and what a .bashrc prints is told apart by a mark before the output.
//
// Host keys are always checked. Secrets are asked for when the server wants
// them, and are in no error.
package sshhost
