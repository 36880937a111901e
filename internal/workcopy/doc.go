// Package workcopy hands out working directories that hold a snapshot, and takes
// them back when their attempts are over. Most sources differ little from those
// of the run before, and making 20,000 files takes longer than all else that is
// done for a run.
//
// A Shelf is a directory of a machine, beside its store. On it lie working
// copies that nobody uses, each with the list of what its files were like when
// they were made. Park puts one there after it was made what it was at first;
// Fill takes one off, by a rename that only one can win, looks at every file in
// it, and makes only what differs from the snapshot that is wanted now. So a
// copy that waited, or that a script spoilt, is as good as a new one.
//
// What cannot be trusted is not kept: on a file system whose times do not show
// every change, after a boot, or while a process still holds on to it.
package workcopy
