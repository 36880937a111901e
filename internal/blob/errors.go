package blob

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Problem is what is wrong, as a closed list.
type Problem string

// The problems that a store, the way to it, or a right to it can have.
const (
	WrongKey     Problem = "wrong_key"     // the signature is not right
	Expired      Problem = "expired"       // a SAS that counts no more, or not yet
	NotPermitted Problem = "not_permitted" // known, and may not do this
	NoIdentity   Problem = "no_identity"   // azidentity found nobody
	ClockSkew    Problem = "clock_skew"    // this computer's clock is off
	NoContainer  Problem = "no_container"
	NotFound     Problem = "not_found" // the blob
	NoSuchHost   Problem = "no_such_host"
	BadTLS       Problem = "bad_tls"
	Unreachable  Problem = "unreachable" // no answer, or a cut one
	Unavailable  Problem = "unavailable" // the store answers that it cannot now
	Changed      Problem = "changed"     // the blob is another one than was listed, or the file changed while it was read
	Corrupt      Problem = "corrupt"     // what came is not what was sent
	Local        Problem = "local"       // a file here: full disk, no permission
	Refused      Problem = "refused"     // anything else the store said no to
)

// Error is what went wrong with a store, in words for a user. Its text holds no
// secret.
type Error struct {
	Problem   Problem
	What      string // in words, without the place
	Where     string // a location or a path
	Hint      string
	Code      string        // the service's own word, if it said one
	Temporary bool          // waiting may help
	After     time.Duration // the service's own wish of how long to wait; 0: none
	cause     error
}

func (e *Error) Error() string { return e.What + ": " + e.Where }

// Unwrap gives the cause where it is one of this computer's own; an answer of
// the service may hold an address with a SAS, and stays inside.
func (e *Error) Unwrap() error { return e.cause }

// ProblemOf is the problem an error tells of, or empty.
func ProblemOf(err error) Problem {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem
	}
	return ""
}

var errStalled = errors.New("no byte has moved for too long")

// explain turns what an operation ended with into an Error. ctx is the
// operation's own: its end is returned as it is.
func explain(ctx context.Context, err error, where string, c Credential) error {
	if err == nil {
		return nil
	}
	if already, ok := errors.AsType[*Error](err); ok {
		return already
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := &Error{Where: where}
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		e.answered(answer, c)
		return e
	}
	if _, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		e.Problem, e.What = NoIdentity, "Azure does not accept the identity that is used here"
		e.Hint = "run az login, or check AZURE_CLIENT_ID, AZURE_TENANT_ID and the identity's secret"
		return e
	}
	if isNoIdentity(err) {
		e.Problem, e.What = NoIdentity, "there is no Azure identity here"
		e.Hint = "run az login, or give a connection string, key or SAS"
		return e
	}
	e.unanswered(err)
	return e
}

// isNoIdentity knows azidentity's error of having found nobody, whose type it
// does not tell.
func isNoIdentity(err error) bool {
	text := err.Error()
	return strings.Contains(text, "DefaultAzureCredential") || strings.Contains(text, "failed to acquire a token")
}

// unanswered tells why there was no whole answer.
func (e *Error) unanswered(err error) {
	e.Problem, e.Temporary = Unreachable, true
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		e.Problem, e.What = NoSuchHost, "the account's host name cannot be resolved ("+dns.Name+")"
		e.Hint = "check the account's name and this machine's network"
		return
	}
	unknown, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isName := errors.AsType[x509.HostnameError](err)
	if isUnknown || isInvalid || isName {
		_ = unknown
		e.Problem, e.Temporary, e.What = BadTLS, false, "the store's certificate is not trusted here"
		e.Hint = "a proxy with a certificate of its own? Name it with SSL_CERT_FILE"
		return
	}
	if local, ok := localProblem(err); ok {
		e.Problem, e.Temporary, e.What, e.cause = Local, false, local, err
		return
	}
	switch {
	case errors.Is(err, errStalled):
		e.What = "the store does not go on answering"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.What = "the connection to the store was cut"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.What = "the store refuses connections"
	default:
		e.What = "the store cannot be reached (" + redact(innermost(err).Error()) + ")"
	}
}

// innermost leaves the layers that hold URLs behind.
func innermost(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

var signature = regexp.MustCompile(`(?i)\b(sig|se|st|sp|sv|sr|skoid|sktid)=[^&\s"']*`)

// redact takes signatures out of a text that should have none.
func redact(text string) string { return signature.ReplaceAllString(text, "$1=REDACTED") }

// localProblem knows what goes wrong with files here.
func localProblem(err error) (string, bool) {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "there is no space left on this disk", true
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "this file may not be read or written here", true
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return "this file is not there", true
	case errors.Is(err, syscall.EISDIR):
		return "this is a directory", true
	case errors.Is(err, syscall.EROFS):
		return "this disk cannot be written to", true
	case errors.Is(err, syscall.EIO):
		return "this disk has errors", true
	}
	return "", false
}

// fileError is an error of a file here.
func fileError(err error, path string) error {
	if err == nil {
		return nil
	}
	what, ok := localProblem(err)
	if !ok {
		what = innermostText(err)
	}
	return &Error{Problem: Local, What: what, Where: path, cause: err}
}

func innermostText(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// codeMD5 is the service's word for content that has not the MD5 that was said.
const codeMD5 = "Md5Mismatch"

// farOff is how much a clock may differ before it is named as the reason; the
// service itself allows 15 minutes.
const farOff = 10 * time.Minute

// answered tells what the service said no with.
func (e *Error) answered(answer *azcore.ResponseError, c Credential) {
	e.Code = answer.ErrorCode
	status := answer.StatusCode
	var skew time.Duration
	if r := answer.RawResponse; r != nil {
		if date, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			skew = time.Since(date)
		}
		if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && seconds >= 0 {
			e.After = time.Duration(seconds) * time.Second
		}
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden || e.Code == "PublicAccessNotPermitted":
		e.forbidden(answer, c, skew)
	case e.Code == "ContainerNotFound" || e.Code == "ContainerBeingDeleted":
		e.Problem, e.What = NoContainer, "there is no such container"
		e.Hint = "az storage container create, or check its name"
	case status == http.StatusNotFound:
		e.Problem, e.What = NotFound, "there is no such blob"
	case status == http.StatusPreconditionFailed:
		e.Problem, e.What = Changed, "the blob has changed"
	case e.Code == codeMD5 || e.Code == "Crc64Mismatch":
		e.Problem, e.What, e.Temporary = Corrupt, "what arrived at the store is not what was sent", true
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		e.Problem, e.Temporary = Unavailable, true
		e.What = fmt.Sprintf("the store cannot answer now (%s)", e.word(status))
	default:
		e.Problem, e.What = Refused, fmt.Sprintf("the store refuses (%s)", e.word(status))
	}
}

func (e *Error) word(status int) string {
	if e.Code != "" {
		return fmt.Sprintf("%d %s", status, e.Code)
	}
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}

// forbidden tells apart who is not known, who may not, and whose clock is wrong.
func (e *Error) forbidden(answer *azcore.ResponseError, c Credential, skew time.Duration) {
	text := strings.ToLower(answer.Error())
	// Emulators have this one word for all; the service has it for its network rules.
	unsaid := e.Code == "AuthorizationFailure"
	unknown := unsaid || e.Code == "AuthenticationFailed" || e.Code == "InvalidAuthenticationInfo"
	kind := c.refusalKind()
	switch {
	case kind == kindNone:
		e.Problem, e.What = NotPermitted, "the store wants a key, a SAS or an identity, and none was given"
		e.Hint = "give a connection string, key or SAS, or run az login"
	case skew.Abs() > farOff || strings.Contains(text, "request date header too old"):
		e.Problem, e.What = ClockSkew, fmt.Sprintf("this computer's clock is wrong by %s, so the store refuses", skew.Abs().Round(time.Minute))
		e.Hint = "set the clock (timedatectl set-ntp true)"
	case kind == kindSAS && (outOfTime(c.sas, time.Now()) || strings.Contains(text, "not valid in the specified time frame")):
		e.Problem, e.What = Expired, "the SAS has expired or is not valid yet"
		e.Hint = "make a new one"
	case kind == kindSAS && unknown:
		e.Problem, e.What = WrongKey, "the SAS is not right, or is for something else"
		e.Hint = "make a new one; a SAS ends when the key it was made with is renewed"
	case kind == kindSAS:
		e.Problem, e.What = NotPermitted, fmt.Sprintf("the SAS does not permit this (%s)", e.word(answer.StatusCode))
		e.Hint = "reading needs the permissions r and l, writing r, w, c and l"
	case kind == kindIdentity && unknown && !unsaid:
		e.Problem, e.What = WrongKey, "the store does not accept this identity"
		e.Hint = "log in again with az login"
	case kind == kindIdentity:
		e.Problem, e.What = NotPermitted, fmt.Sprintf("this identity may not do this (%s)", e.word(answer.StatusCode))
		e.Hint = "it needs the role Storage Blob Data Reader, or Storage Blob Data Contributor to write; the account's network rules may keep this machine out, too"
	case unknown:
		e.Problem, e.What = WrongKey, "the account key is not the right one"
		e.Hint = "copy it again from the portal (Access keys); a renewed key replaces the old one"
		if unsaid {
			e.Hint += "; the account's network rules may keep this machine out, too"
		}
	default:
		e.Problem, e.What = NotPermitted, fmt.Sprintf("this is not permitted (%s)", e.word(answer.StatusCode))
	}
}

// outOfTime says whether a SAS tells itself that it does not count now.
func outOfTime(sas string, now time.Time) bool {
	query, err := url.ParseQuery(sas)
	if err != nil {
		return false
	}
	at := func(key string) (time.Time, bool) {
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02"} {
			if moment, err := time.Parse(layout, query.Get(key)); err == nil {
				return moment, true
			}
		}
		return time.Time{}, false
	}
	if end, ok := at("se"); ok && now.After(end) {
		return true
	}
	begin, ok := at("st")
	return ok && now.Before(begin)
}
