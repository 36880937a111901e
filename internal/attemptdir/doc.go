// Package attemptdir makes an attempt's directory ready on the machine where it
// lies: the steps that look at one answer and go on to the next, of which each
// would cost a way there and back if they were asked for one by one.
//
// Open looks whether the attempt was started or prepared before, and if not
// makes its directories and writes its record. Finish looks at a directory that
// was filled with a source and makes it the working directory. Look says what is
// there of an attempt, and Close removes it. internal/machine
// calls them here, and internal/onhost does when it is asked to on another
// machine. What was found is an answer; what it means is for the caller to say.
package attemptdir
