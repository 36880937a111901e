// Package program says which program this is, and finds the same one built for
// other kinds of machines. What is put on a machine is this very program when
// the machine is of our own kind. For another kind a Finder looks for a file
// that `make cross` built: named in the settings, beside our own executable, or
// in $RUNNER_HOME/bin. It must be of our own build; that is read out of the file
// before it is sent, and asked of the program itself once it is there.
package program
