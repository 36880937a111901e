// Package environment knows what a script needs to run: a Python with its
// packages, a container image, or both.
//
// A Spec is what the user writes. Resolve reads in everything it refers to and
// gives a Resolved, which names itself by a digest of all that decides the
// result and nothing else; two specs with the same digest share one
// environment. A Resolved of kind venv or conda has a Recipe: a POSIX shell
// script that makes the environment at a given path on any machine and leaves
// a lock of exact versions and, last of all, a ready file, so that what is
// half made is never taken for whole. Kind image+python has an ImageRecipe, a
// Dockerfile with its files. Nothing here runs anything: backends do, here,
// over SSH or in an image build.
package environment
