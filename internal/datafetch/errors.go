package datafetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/runnerml/runner/internal/blob"
)

// Error is what went wrong with a source, in words for a user. It holds no
// secret.
type Error struct {
	What, Where, Hint string
	// Temporary: waiting may help.
	Temporary bool
	// Away: the server cannot be reached from this machine.
	Away bool
	// Changed: it is another content than the one that was looked at.
	Changed bool
	after   time.Duration // the server's own wish of how long to wait
	cause   error
}

func (e *Error) Error() string { return e.What + ": " + e.Where }

// Unwrap gives the system's own error, as of a full disk.
func (e *Error) Unwrap() error { return e.cause }

// Unreachable says whether err means that the source's server cannot be reached
// from this machine, which another machine may be able to.
func Unreachable(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Away
	}
	switch blob.ProblemOf(err) {
	case blob.NoSuchHost, blob.Unreachable, blob.BadTLS:
		return true
	default:
		return false
	}
}

// HasChanged says whether err means that the source is not what was looked at.
func HasChanged(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Changed
	}
	return blob.ProblemOf(err) == blob.Changed
}

// HintOf an error, or nothing.
func HintOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*blob.Error](err); ok {
		return e.Hint
	}
	return ""
}

// explain names what a request ended with.
func explain(ctx context.Context, err error, where string) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := &Error{Where: where, Temporary: true, Away: true}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		e.What, e.Hint, e.Temporary = "no host has the name "+dns.Name, "is it spelt right, and can this machine resolve names?", dns.Temporary()
		return e
	}
	if isTLS(err) {
		e.What, e.Temporary = "the server's certificate is not trusted ("+tlsWords(err)+")", false
		e.Hint = "set SSL_CERT_FILE to the certificate of your network's own authority"
		return e
	}
	if errors.Is(err, errDowngrade) {
		return &Error{What: errDowngrade.Error(), Where: where}
	}
	e.What = "the server cannot be reached (" + innermost(err) + ")"
	return e
}

func isTLS(err error) bool {
	_, a := errors.AsType[*tls.CertificateVerificationError](err)
	_, b := errors.AsType[x509.UnknownAuthorityError](err)
	_, c := errors.AsType[x509.HostnameError](err)
	_, d := errors.AsType[tls.RecordHeaderError](err)
	return a || b || c || d
}

func tlsWords(err error) string {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.Err.Error()
	}
	return innermost(err)
}

// innermost is an error's cause without the address, which the error has anyway.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// refusal is an answer that is not what was asked for.
func refusal(r *http.Response, where string) error {
	e := &Error{Where: where, What: fmt.Sprintf("the server says %s", r.Status)}
	switch r.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		e.What = fmt.Sprintf("nothing is there (%d)", r.StatusCode)
	case http.StatusUnauthorized, http.StatusForbidden:
		e.What = fmt.Sprintf("the server does not let us read it (%d)", r.StatusCode)
		e.Hint = "only what anybody may read can be read so"
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.Temporary = true
		if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.after = min(time.Duration(seconds)*time.Second, longestWait)
		}
	}
	return e
}

func changed(where string) error {
	return &Error{What: "it changed while it was read", Where: where, Changed: true, Hint: "it is read anew when the run is prepared again"}
}

// localError is one of this machine's own: a full disk, no permission.
func localError(err error, path string) error {
	if err == nil {
		return nil
	}
	return &Error{What: innermost(err), Where: path, cause: err}
}
