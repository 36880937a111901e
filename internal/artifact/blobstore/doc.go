// Package blobstore is an artifact.Store in Azure Blob Storage, on internal/blob.
//
// Each file is a blob, RUN/attempts/N/outputs/... or RUN/checkpoint/... below the
// store's location, so that other tools find it under its own name; what a blob
// cannot be called is written as %XX. Mode, time and SHA-256 are the blob's
// metadata, which also tells links and empty directories from files.
//
// What comes as a stream is spooled to a file of this computer first: its length
// and digest are known then, what was cut off goes on where it was, and a file
// that the store could not take need not come from its machine again. What lies
// on this computer already goes from where it is.
package blobstore
