// Package onhost is what our own program does on a machine that is not this
// computer, where file by file over a network would be slow: "runner onhost
// VERB", beside "runner supervise". supervise.Install put it there.
//
// A Host asks one such process, "serve", all that is asked of a host, and what
// takes several steps there in one question: the opening of an attempt's
// directory, and every verb that is not long.
//
// A Client starts a verb in one command and talks with it over its standard
// input and output, in frames. Fill sends a snapshot as what the machine lacks of
// it, and makes a working directory of it there; Fetch brings files home, each
// with its digest, compressed where that helps; Watch tells of changes as they
// happen;
// Prune frees what nothing there needs, by what the machine itself knows. A verb
// ends when its standard input does, so nothing of ours stays when the line is
// cut. What came before a cut is kept, of large files also their beginning, and
// not sent again.
package onhost
