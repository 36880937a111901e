// Package blob reads from and writes to Azure Blob Storage: inputs in, outputs
// and checkpoints out.
//
// A [Location] says where (azblob://account/container/prefix and the other
// forms people have), a [Credential] with what right, and [Open] makes a
// [Container] of both without asking anybody anything. Names given to a
// Container are relative to its location's path.
//
// Large blobs travel in parallel ranges or blocks, small ones in one request
// and many at once, within a bound number of connections and without ever
// holding a block in memory. A transfer that was killed goes on where it was: a
// download by a journal beside its partial file, bound to the blob's ETag; an
// upload by the uncommitted blocks at the store, which are named by what is in
// them. What is under its final name, here or there, is whole and verified.
//
// Whoever calls sees one kind of error ([Error]: what is wrong, where, what to
// do, whether waiting helps) and hears of every wait ([Report]). Retrying
// happens in one place, and no secret is in any text that leaves this package.
//
// A machine that must not have the account's key gets a [Container.Grant]: a
// short-lived right to read one blob or list and read one container.
package blob
