// Package ssh is a virtual machine reached over SSH: internal/machine on a host
// that is not this computer. What it starts there goes on when the line breaks
// or we are gone, and is found again by its directory.
package ssh
