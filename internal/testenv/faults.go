package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// FaultKind is what happens to a request on its way through a [FaultProxy].
type FaultKind string

// The kinds of faults. Bytes, For and Rate are of the [Fault].
const (
	NoFault     FaultKind = ""
	DropRequest FaultKind = "drop request" // the connection is cut after Bytes of the request's body; nothing goes on
	DropAnswer  FaultKind = "drop answer"  // the request is carried out, and the connection cut before the answer
	Truncate    FaultKind = "truncate"     // the answer is cut after Bytes of its body
	Short       FaultKind = "short"        // the answer's body is only Bytes long, and says so
	Flip        FaultKind = "flip"         // one bit of the answer's body is another
	FlipRequest FaultKind = "flip request" // one bit of the request's body is another
	Answer500   FaultKind = "500"          // instead of carrying it out
	Answer503   FaultKind = "503"          // as ServerBusy, with Retry-After: 0
	Delay       FaultKind = "delay"        // For before it goes on
	Slow        FaultKind = "slow"         // both bodies at Rate bytes a second
	Hang        FaultKind = "hang"         // no answer for For, then cut
)

// Fault is what happens to one request.
type Fault struct {
	Kind  FaultKind
	Bytes int64
	For   time.Duration
	Rate  int64
}

// Plan chooses the fault of the n-th request, counted from 1. It is called for one request at a time.
type Plan func(n int, r *http.Request) Fault

// Exchange is one request that came through.
type Exchange struct {
	Method   string
	Path     string
	Query    url.Values
	Range    string // the header x-ms-range or Range
	Fault    FaultKind
	Status   int   // of the answer that was given; 0: none
	Received int64 // bytes of the request's body
	Sent     int64 // bytes of the answer's body
}

// FaultProxy is an HTTPS proxy before a service on loopback that misbehaves as planned, and counts.
type FaultProxy struct {
	Addr string // 127.0.0.1:PORT

	target    string
	transport *http.Transport
	serving   sync.WaitGroup

	mu        sync.Mutex
	plan      Plan
	n         int
	underWay  int
	exchanges []Exchange
	closed    bool
}

// Faults puts a proxy before a Blob service, until the test ends. A nil plan lets everything through.
func Faults(t testing.TB, s BlobService, plan Plan) *FaultProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: faults: %v", err)
	}
	p := &FaultProxy{Addr: listener.Addr().String(), target: s.Addr, plan: plan, transport: s.Trust.Transport()}
	p.transport.MaxIdleConnsPerHost, p.transport.DisableCompression = 64, true
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	server := &http.Server{
		Handler: p, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	p.serving.Go(func() { _ = server.Serve(tls.NewListener(littleKept{listener}, s.Trust.server())) })
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		cancel()
		_ = server.Close()
		p.serving.Wait()
		p.transport.CloseIdleConnections()
	})
	return p
}

// littleKept makes connections of which the kernel here keeps little: what is counted as sent has left us.
type littleKept struct{ net.Listener }

func (l littleKept) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		const little = 64 << 10
		_ = tcp.SetWriteBuffer(little) // counts a little too much without
	}
	return c, err
}

// Set changes the plan and counts from 1 again.
func (p *FaultProxy) Set(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.n = plan, 0
}

// Take is what came through since the last Take.
func (p *FaultProxy) Take() []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.exchanges
	p.exchanges = nil
	return taken
}

// Idle says that nothing is on its way: Take gives all there is.
func (p *FaultProxy) Idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.underWay == 0
}

// next is the fault of a request, which is waited for at the end; none when the end has come.
func (p *FaultProxy) next(r *http.Request) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return Fault{}, false
	}
	p.serving.Add(1)
	p.n++
	p.underWay++
	if p.plan == nil {
		return Fault{}, true
	}
	return p.plan(p.n, r), true
}

// ServeHTTP carries one request out, or not.
func (p *FaultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault, ok := p.next(r)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	defer p.serving.Done()
	e := Exchange{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Range: r.Header.Get("X-Ms-Range"), Fault: fault.Kind}
	if e.Range == "" {
		e.Range = r.Header.Get("Range")
	}
	received := &counted{Reader: r.Body, ctx: r.Context()}
	defer func() {
		e.Received = received.n.Load()
		p.mu.Lock()
		p.exchanges = append(p.exchanges, e)
		p.underWay--
		p.mu.Unlock()
	}()
	switch fault.Kind {
	case DropRequest:
		_, _ = io.CopyN(io.Discard, received, fault.Bytes)
		panic(http.ErrAbortHandler)
	case Answer500, Answer503:
		_, _ = io.Copy(io.Discard, received)
		e.Status = refuse(w, fault.Kind)
		return
	case Hang:
		wait(r.Context(), fault.For)
		panic(http.ErrAbortHandler)
	case Delay:
		wait(r.Context(), fault.For)
	case Slow:
		received.rate = fault.Rate
	case FlipRequest:
		received.flip = true
	}
	answer, err := p.forward(r, received)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = answer.Body.Close() }()
	if fault.Kind == DropAnswer {
		_, _ = io.Copy(io.Discard, answer.Body)
		panic(http.ErrAbortHandler)
	}
	e.Status = answer.StatusCode
	p.answer(w, r, answer, fault, &e.Sent)
}

// forward asks the service. A bit that was turned is not told by its checksum here, but by the service.
func (p *FaultProxy) forward(r *http.Request, body io.Reader) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI, out.Host = "https", p.target, "", p.target
	out.Body = io.NopCloser(body)
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	return p.transport.RoundTrip(out)
}

func (p *FaultProxy) answer(w http.ResponseWriter, r *http.Request, answer *http.Response, fault Fault, sent *int64) {
	header := w.Header()
	for key, values := range answer.Header {
		header[key] = values
	}
	body := &counted{Reader: answer.Body, ctx: r.Context()}
	defer func() { *sent = body.n.Load() }()
	switch fault.Kind {
	case Short:
		if answer.ContentLength > fault.Bytes {
			header.Set("Content-Length", strconv.FormatInt(fault.Bytes, 10))
		}
		body.Reader = io.LimitReader(answer.Body, fault.Bytes)
	case Truncate:
		body.Reader = io.LimitReader(answer.Body, fault.Bytes)
	case Flip:
		body.flip = true
	case Slow:
		body.rate = fault.Rate
	}
	w.WriteHeader(answer.StatusCode)
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, body, make([]byte, 64<<10))
	if fault.Kind == Truncate && err == nil { // what is left is not sent, and the end is no end
		var more [1]byte
		if n, _ := answer.Body.Read(more[:]); n > 0 {
			err = errCut
		}
	}
	if err != nil {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// errCut is an answer that was cut as planned.
var errCut = errors.New("the answer is cut")

func refuse(w http.ResponseWriter, kind FaultKind) int {
	status, code := http.StatusInternalServerError, "InternalError"
	if kind == Answer503 {
		status, code = http.StatusServiceUnavailable, "ServerBusy"
		w.Header().Set("Retry-After", "0")
	}
	w.Header().Set("X-Ms-Error-Code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>a fault of the test</Message></Error>", code)
	return status
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// counted counts what is read, and may slow or spoil it.
type counted struct {
	io.Reader

	ctx  context.Context
	n    atomic.Int64 // a transport may still read when the answer is there
	rate int64        // bytes a second; 0: as fast as it comes
	flip bool         // the first bit of the first byte that comes
}

func (c *counted) Read(p []byte) (int, error) {
	if c.rate > 0 {
		p = p[:min(int64(len(p)), max(c.rate/20, 1))]
	}
	n, err := c.Reader.Read(p)
	if n > 0 && c.flip {
		p[0] ^= 1
		c.flip = false
	}
	if c.rate > 0 {
		wait(c.ctx, time.Duration(n)*time.Second/time.Duration(c.rate))
		err = errors.Join(err, c.ctx.Err())
		if errors.Is(err, io.EOF) && c.ctx.Err() == nil {
			err = io.EOF
		}
	}
	c.n.Add(int64(n))
	return n, err
}

// Script is a plan: the first requests have these faults, in their order; those after them none.
func Script(faults ...Fault) Plan {
	return func(n int, _ *http.Request) Fault {
		if n <= len(faults) {
			return faults[n-1]
		}
		return Fault{}
	}
}

// Always is a plan: every request has this fault.
func Always(fault Fault) Plan { return func(int, *http.Request) Fault { return fault } }

// RandomFaults is a plan: each request has, with this chance, a fault of some kind, the same for the same seed and
// order of requests. spread is how far into a body a cut is at most, in bytes.
func RandomFaults(seed uint64, chance float64, spread int64) Plan {
	r := rand.New(rand.NewPCG(seed, seed))
	kinds := []FaultKind{DropRequest, DropAnswer, Truncate, Short, Answer500, Answer503, Delay, Slow, Flip, FlipRequest}
	return func(_ int, request *http.Request) Fault {
		if r.Float64() >= chance {
			return Fault{}
		}
		f := Fault{Kind: kinds[r.IntN(len(kinds))], Bytes: r.Int64N(spread), For: time.Duration(r.Int64N(int64(50 * time.Millisecond))), Rate: spread * 4}
		if (f.Kind == Flip || f.Kind == Short) && (request.Method != http.MethodGet || request.URL.Query().Has("comp")) {
			// Nothing protects the body of an answer in XML but TLS, which a fault here stands behind.
			f.Kind = Truncate
		}
		if f.Kind == FlipRequest && request.URL.Query().Get("comp") == "blocklist" { // likewise
			f.Kind = DropRequest
		}
		return f
	}
}
