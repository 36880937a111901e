// Package snapshot keeps content-addressed pictures of source directories.
//
// A picture is a manifest: every directory, file and symbolic link with its
// mode and the digest of its content, in one canonical byte form whose SHA-256
// is the snapshot's ID. The same content therefore always has the same ID, is
// stored once and is sent once.
//
// A Store holds manifests and packs. A pack is one append-only file of blobs,
// written by one Take or Import, sealed with an index and never changed again.
// A cache per source directory remembers which files were read already, so
// that an unchanged tree costs one stat per file. Several processes may use a
// store at once: everything that adds or reads holds a shared lock, what
// removes holds it alone. Nothing becomes visible before it is whole and on
// disk, so a kill at any moment leaves only a temporary file that the next
// Open sweeps away.
package snapshot
