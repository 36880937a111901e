// Package datacache keeps data on a machine that many runs read and nobody
// changes, each object under a key that says what is in it.
//
// An object is made by one filler at a time, under a lock that outlives no
// process, in KEY.part; it gets its name only when it is whole. A filler that
// was killed leaves its part for the next one to go on with. Whoever wants an
// object waits for its filler and finds it.
//
// Whoever may do anything can change what all read: an object that is not as it
// was made, by its files' sizes and times, counts as not there and is made anew.
//
// Prune first gives what it takes another name, while nobody looks, and then
// removes it: a kill in the middle leaves nothing that looks whole. The caller
// says what is in use, and is asked under the lock, so whoever writes down that
// it uses an object before it calls Use or Fill keeps it.
package datacache
