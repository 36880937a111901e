package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// Options of a Client.
type Options struct {
	// Base is the server's address, "http://host:port" or "https://...".
	Base string
	// Token is sent as a bearer token when it is not empty.
	Token string
	// Dial replaces the network, for a socket. Nil: TCP.
	Dial func(ctx context.Context) (net.Conn, error)
	// Revive is called when the line broke, before it is tried again: it
	// starts an agent when there is none. It may be nil.
	Revive func(ctx context.Context) error
	// Patience is how long a broken line is tried again; zero: one minute.
	Patience time.Duration
	// Stall is how long nothing may come of a file before its line counts as
	// broken; zero: one minute.
	Stall time.Duration
}

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	Options
	http *http.Client
	// patient waits for an answer without an end.
	patient *http.Client
	// where names the server in errors.
	where string
}

const (
	streamBuffer    = 256 << 10 // bytes read at once from a connection
	dialTimeout     = 10 * time.Second
	headerTimeout   = 5 * time.Minute // a plan may take that long without a word, an answer never does
	defaultPatience = time.Minute
	defaultStall    = time.Minute
)

// New makes a Client; nothing is sent yet.
func New(o Options) *Client {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	transport := &http.Transport{
		ReadBufferSize:        streamBuffer,
		ResponseHeaderTimeout: headerTimeout,
		MaxIdleConnsPerHost:   8,
		DisableCompression:    true,
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}
	c := &Client{Options: o, where: o.Base}
	if o.Dial != nil {
		c.Base, c.where = "http://agent", "the agent"
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return o.Dial(ctx) }
	}
	c.Base = strings.TrimSuffix(c.Base, "/")
	c.http = &http.Client{Transport: transport}
	patient := transport.Clone()
	patient.ResponseHeaderTimeout = 0
	c.patient = &http.Client{Transport: patient}
	return c
}

// Close drops the connections that are kept for later.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.patient.CloseIdleConnections()
}

// request is one question to the server.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	// fine is a status that is an answer, too, though it is 400 or more.
	fine int
	// body is sent as JSON when it is not nil.
	body any
	// once: asking twice would do harm when the first was heard.
	once bool
	// told hears how far a request is that takes long. What may not last long is
	// then the silence before the answer.
	told func(controller.Progress)
}

// json asks and decodes the answer into v, which may be nil.
func (c *Client) json(ctx context.Context, r request, v any) error {
	var answer []byte
	err := c.again(ctx, func(ctx context.Context) error {
		if r.told != nil {
			var stop func()
			ctx, stop = hearing(ctx, r.told)
			defer stop()
		}
		response, err := c.send(ctx, r)
		if err != nil {
			if r.once && !isDial(err) {
				return &final{err}
			}
			return err
		}
		defer response.Body.Close()
		if answer, err = io.ReadAll(response.Body); err != nil && r.once {
			return &final{err}
		}
		return err
	})
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("%s %s: the answer is not what was expected: %w", r.method, r.path, err)
	}
	return nil
}

// send sends r once. An answer that says what is wrong comes as a
// *server.Problem.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, &final{fmt.Errorf("encode %s: %w", r.path, err)}
		}
		body = bytes.NewReader(data)
	}
	return c.sendBody(ctx, r, "application/json", body)
}

func (c *Client) sendBody(ctx context.Context, r request, kind string, body io.Reader) (*http.Response, error) {
	if slices.ContainsFunc(strings.Split(r.path, "/")[1:], func(part string) bool {
		return part == "" || part == "." || part == ".."
	}) { // no name that could be, and none that a path can hold
		return nil, &server.Problem{Code: server.NotFound, Message: "there is nothing of that name"}
	}
	address := c.Base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, &final{fmt.Errorf("address of the server: %w", err)}
	}
	maps.Copy(q.Header, r.header)
	if body != nil {
		q.Header.Set("Content-Type", kind)
	}
	if c.Token != "" {
		q.Header.Set("Authorization", "Bearer "+c.Token)
	}
	asker := c.http
	if r.told != nil {
		asker = c.patient
	}
	response, err := asker.Do(q)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the address says nothing to a user
		}
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest && response.StatusCode != r.fine {
		defer response.Body.Close()
		return nil, problemIn(response)
	}
	return response, nil
}

// problemIn reads what an answer says is wrong.
func problemIn(response *http.Response) error {
	var body struct {
		Error *server.Problem `json:"error"`
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &body); err != nil || body.Error == nil {
		code := server.Internal
		if response.StatusCode == http.StatusBadGateway || response.StatusCode == http.StatusServiceUnavailable {
			code = server.Unavailable
		}
		return &server.Problem{
			Code: code, Message: "the server's answer is not one of runner's: " + response.Status,
			Where: response.Request.URL.Host, Hint: "check RUNNER_SERVER",
		}
	}
	return body.Error
}

func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
