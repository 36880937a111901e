// Package queue decides who runs next on one target: pure decisions, from what
// is stored, without a clock or I/O. The same input gives the same plan, so a
// restart changes nothing.
//
// Order: higher priority first; within one, dedicated runs before lowpriority
// ones (which they may preempt), then first come, first served.
//
// Going through the waiting runs in this order, one that fits what is free
// gets it. One that does not fit stays where it is, and what it asks for is
// set aside from what is free: of the CPUs, memory and GPUs it is short of
// nothing is left to those behind it, of the others only what it will not
// need. So small runs pass a big one when they cannot delay it (a run on CPUs
// passes one that waits for GPUs, if CPUs enough for both are free), and
// everything else that ends works towards the big one: nobody starves within
// a priority.
//
// A dedicated run that does not fit may take the place of lowpriority runs of
// no higher priority, if that makes enough room: the fewest, the newest of
// these first. Those already told to stop are counted as coming free, so
// nothing is preempted twice for one run.
//
// GPUs are ids and never shared. Plans never give more than there is.
package queue
