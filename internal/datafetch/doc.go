// Package datafetch brings data from a store to a directory of this machine:
// one file from an https:// address, or blobs of Azure Blob Storage.
//
// A Source is looked at first (Look): what it is and how large, which decides
// under which key a cache keeps it. Fetch then brings it in parallel ranges where
// the server can, goes on where an earlier one was cut or killed, and checks what
// came: by the SHA-256 that the user gave, else by the server's ETag in every
// answer. A server that cannot be reached from here is told apart (Unreachable):
// then the bytes can go another way.
package datafetch
