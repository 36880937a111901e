// Package sparksubmit carries one Spark application out from the machine that
// has spark-submit: "runner sparksubmit PLAN", the attempt's main process below
// its supervisor.
//
// It finds spark-submit, sends the source's modules along, starts it and passes
// on what it writes. The application is marked with a tag of the run and the
// attempt, so that it is found again whatever became of spark-submit's answer. In
// client mode the driver is spark-submit's own child, and its end is the
// attempt's. In cluster mode the application belongs to YARN: it is followed by
// asking the ResourceManager, and its driver's log and outputs are fetched when it
// has ended. Started a second time, because the first was killed, it follows the
// application that is there. What is known of it (its id, state, the page that shows it, YARN's
// diagnostics, what they mean as an outcome) is kept in a report beside the plan,
// which the backend reads.
//
// The program writes no shell command and puts no value of a configuration or
// variable on a command line: properties travel in a private file.
package sparksubmit
