package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// minToken is the shortest token that is taken, in bytes.
const minToken = 16

// Listen opens a TCP listener at address, which must say its host: what others
// can reach is asked for in words ("0.0.0.0:8484"), never by leaving it out.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return nil, Wrong("not an address with host and port", strconv.Quote(address), "for example 127.0.0.1:8484")
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &Problem{Code: Unavailable, Message: "cannot listen: " + err.Error(), Where: address, cause: err}
	}
	return listener, nil
}

// ReadToken reads the token that a file holds.
func ReadToken(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, WrongPath(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, Wrong("others can read the token file", path, "chmod 600 "+path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, WrongPath(err)
	}
	token := bytes.TrimSpace(data)
	if len(token) < minToken {
		return nil, Wrong(fmt.Sprintf("the token is shorter than %d bytes", minToken), path,
			"make one: head -c 32 /dev/urandom | base64 > "+path)
	}
	return token, nil
}

// WithToken lets only requests with that bearer token through to h.
func WithToken(token []byte, h http.Handler) http.Handler {
	want := sha256.Sum256(token) // of equal length, so that the time says nothing
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			p := &Problem{Code: Unauthorized, Message: "the server wants a token", Hint: "set RUNNER_TOKEN"}
			if ok {
				p.Message, p.Hint = "the server does not know this token", "check RUNNER_TOKEN"
			}
			writeJSON(w, p.Code.Status(), problemBody{Error: p})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// WithoutTargets refuses what changes the machines that are attached: what an
// attachment refers to, files and variables, would be read where we are.
func WithoutTargets(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		p := &Problem{
			Code: Forbidden, Message: "targets are not attached or detached from afar",
			Hint: "run runner compute attach, or detach, where the agent runs",
		}
		writeJSON(w, p.Code.Status(), problemBody{Error: p})
	}
	mux.HandleFunc("POST /v1/targets", refuse)
	mux.HandleFunc("POST /v1/targets/{name}/detach", refuse)
	mux.Handle("/", h)
	return mux
}

// MetricsOnly serves GET /metrics and nothing else.
func MetricsOnly(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	return mux
}
