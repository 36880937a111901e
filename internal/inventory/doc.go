// Package inventory says what a machine has: processors, memory, disk, GPUs,
// Python and its tools, a Docker engine. The machine is any host.Host, so the
// same questions are asked here and over SSH.
//
// Take asks everything, for a person; Size asks only what the queue needs, for
// the agent's start. Both take the machine as a process of ours finds it: a
// cgroup's quota or an affinity mask counts, not what is soldered in. A tool
// that fails or hangs costs one Fault, never the rest of the answer.
//
// Diagnose turns an Inventory into findings: what was found, what it means for
// runs, and what to do about it.
package inventory
