// Package backendtest is the conformance suite of backends: what every one of
// them does, tried against the real thing. A new backend is done when Run
// passes.
//
// A backend's test describes its Target (how to open it, an environment that
// works on it, how to look for what an attempt leaves behind) and calls Run.
// The cases stand by subject, one file each, and know nothing of the target
// but what the description says. Some of them kill the process that started an
// attempt: the test binary is run again for that, so TestMain must be Main. What
// the tests of backends need beside the suite, of homes and what is left in
// them, is Root.
package backendtest
