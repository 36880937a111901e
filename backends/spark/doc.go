// Package spark is the backend of Spark: spark-submit on a machine, this one or
// one over SSH, for a cluster that is YARN, a standalone master, or the machine
// itself (local[N]).
//
// It is internal/machine with a launcher of its own (internal/sparksubmit): the
// attempt is a supervised process on the machine that has spark-submit, so that
// log, offsets, limits, the agent's death and the machine's reboot are what they
// are everywhere. The launcher marks the application with a tag of run and
// attempt, follows it, and keeps a report; this package adds what that says to
// what the machine observes, and ends and clears what an attempt left in the
// cluster.
//
// The one owner of restarts is us: YARN's own attempts are set to one
// (spark.yarn.maxAppAttempts). What YARN calls preempted, lost or killed becomes
// that outcome, and the controller decides.
//
// A launcher that was killed leaves an application in the cluster that goes on:
// such an attempt is adrift, and Resume has it followed again.
//
// The conformance suite is carried out with a local master and with a standalone
// one; with YARN it is jobs of our own, in both modes. A driver in the cluster that
// is no Spark job, as the suite's are, is ended by YARN's side of Spark.
//
// What of the conformance suite a Spark application cannot have: a command (its
// script is Python or a jar), our limit of memory (the JVM has its own), and a
// death by signal where the JVM reports an exit code instead.
package spark
