// Package supervise keeps a process on a host after we are gone: its process
// group, its log, its exit code, its limits and its grace.
//
// The supervisor is this program itself, started as "runner supervise DIR".
// It holds DIR/lock for its life, and tells what it knows in files that are
// renamed into place: started.json, ended.json. Whoever wants to know looks at
// these (Status, Watch); whoever wants something leaves a wish (Stop) and
// signals. So nobody has to be connected, and asking twice changes nothing.
//
// It runs detached on a host, or as process 1 of a container. A Keeper does
// all of it on any host.Host.
package supervise
