package blob

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/runnerml/runner/internal/testenv"
)

// rights is a SAS of the service's own key for the container.
func rights(t *testing.T, s testenv.BlobService, container string, p sas.ContainerPermissions, from, until time.Duration) Credential {
	t.Helper()
	key, err := FromKey(s.Account, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := sas.BlobSignatureValues{
		ContainerName: container, Permissions: p.String(), Protocol: sas.ProtocolHTTPS,
		StartTime: time.Now().Add(from).UTC(), ExpiryTime: time.Now().Add(until).UTC(),
	}.SignWithSharedKey(key.key)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := FromSAS(signed.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func TestErrors(t *testing.T) {
	s := testenv.Azurite(t)
	owner := open(t, s, s.Addr, "errors", Options{})
	create(t, owner)
	if _, err := owner.Put(t.Context(), "there", []byte("hello"), nil); err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 64)
	_, _ = rand.Read(random)
	otherKey, err := FromKey(s.Account, base64.StdEncoding.EncodeToString(random))
	if err != nil {
		t.Fatal(err)
	}
	rightKey, err := FromKey(s.Account, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	broken := rights(t, s, "errors", sas.ContainerPermissions{Read: true, List: true}, -time.Hour, time.Hour)
	broken.sas = strings.Replace(broken.sas, "sig=", "sig=AAAA", 1)
	list := func(ctx context.Context, c *Container) error { return c.Check(ctx) }
	stat := func(ctx context.Context, c *Container) error { _, err := c.Stat(ctx, "there"); return err }
	put := func(ctx context.Context, c *Container) error {
		_, err := c.Put(ctx, "new", []byte("x"), nil)
		return err
	}
	read := sas.ContainerPermissions{Read: true}
	for _, test := range []struct {
		name       string
		credential Credential
		container  string // empty: errors
		endpoint   string // empty: the service's
		do         func(context.Context, *Container) error
		want       Problem
		text       string
		hint       string
	}{
		{name: "wrong key", credential: otherKey, do: list, want: WrongKey, text: "the account key is not the right one: azblob://runnertest/errors", hint: "Access keys"},
		{name: "wrong key, asked by HEAD", credential: otherKey, do: stat, want: WrongKey, text: "the account key is not the right one: azblob://runnertest/errors/there"},
		{name: "expired SAS", credential: rights(t, s, "errors", read, -2*time.Hour, -time.Hour), do: stat, want: Expired, text: "the SAS has expired or is not valid yet", hint: "make a new one"},
		{name: "SAS not valid yet", credential: rights(t, s, "errors", read, time.Hour, 2*time.Hour), do: stat, want: Expired, text: "the SAS has expired or is not valid yet"},
		{name: "spoilt SAS", credential: broken, do: stat, want: WrongKey, text: "the SAS is not right"},
		{name: "may not list", credential: rights(t, s, "errors", read, -time.Hour, time.Hour), do: list, want: NotPermitted, text: "the SAS does not permit this", hint: "r and l"},
		{name: "may not write", credential: rights(t, s, "errors", read, -time.Hour, time.Hour), do: put, want: NotPermitted, text: "the SAS does not permit this", hint: "writing r, w, c and l"},
		{name: "nothing given", do: list, want: NotPermitted, text: "none was given", hint: "az login"},
		{name: "no container", credential: rightKey, container: "nowhere", do: list, want: NoContainer, text: "there is no such container: azblob://runnertest/nowhere"},
		{name: "no container, asked by HEAD", credential: rightKey, container: "nowhere", do: stat, want: NoContainer, text: "there is no such container"},
		{name: "no blob", credential: rightKey, do: func(ctx context.Context, c *Container) error { _, err := c.Stat(ctx, "nothing"); return err }, want: NotFound, text: "there is no such blob: azblob://runnertest/errors/nothing"},
		{name: "no host", credential: rightKey, endpoint: "https://runnertest.invalid/runnertest", do: stat, want: NoSuchHost, text: "cannot be resolved (runnertest.invalid)", hint: "check the account's name"},
		{name: "nobody there", credential: rightKey, endpoint: "https://127.0.0.1:1/runnertest", do: stat, want: Unreachable, text: "the store refuses connections"},
		{name: "a file that is not there", credential: rightKey, do: func(ctx context.Context, c *Container) error {
			_, err := c.Upload(ctx, Upload{From: "/does/not/exist", Name: "x"})
			return err
		}, want: Local, text: "this file is not there: /does/not/exist"},
		{name: "a directory", credential: rightKey, do: func(ctx context.Context, c *Container) error {
			_, err := c.Upload(ctx, Upload{From: "/", Name: "x"})
			return err
		}, want: Local, text: "this is no regular file: /"},
		{name: "a name that is none", credential: rightKey, do: func(ctx context.Context, c *Container) error { return c.Delete(ctx, "a/../b") }, want: Refused, text: "no part . or .."},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.container == "" {
				test.container = "errors"
			}
			l := Location{Account: s.Account, Container: test.container, Endpoint: test.endpoint}
			if l.Endpoint == "" {
				l.Endpoint = s.Endpoint()
			}
			c, err := Open(l, test.credential, Options{RootCAs: s.Trust.Pool, Patience: 50 * time.Millisecond, firstWait: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = test.do(t.Context(), c)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Problem != test.want || !strings.Contains(err.Error(), test.text) || !strings.Contains(e.Hint, test.hint) {
				t.Fatalf("got %v (%+v), want %s: %s (hint %s)", err, e, test.want, test.text, test.hint)
			}
			tellsNothing(t, s, test.credential, fmt.Sprintf("%v %+v %#v %s", err, err, err, e.Hint))
		})
	}
	t.Run("a certificate that nobody trusts", func(t *testing.T) {
		c, err := Open(Location{Account: s.Account, Container: "errors", Endpoint: s.Endpoint()}, rightKey, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err = c.Stat(t.Context(), "there"); ProblemOf(err) != BadTLS {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another account's key", func(t *testing.T) {
		_, err := Open(Location{Account: "otherone", Container: "errors"}, rightKey, Options{})
		if err == nil || !strings.Contains(err.Error(), "is for the account runnertest, not for otherone") {
			t.Errorf("got %v", err)
		}
	})
}

// tellsNothing looks for secrets in what anybody may read.
func tellsNothing(t *testing.T, s testenv.BlobService, c Credential, text string) {
	t.Helper()
	if strings.Contains(text, s.Key) {
		t.Errorf("the account key is in %q", text)
	}
	for part := range strings.SplitSeq(c.sas, "&") {
		if value, ok := strings.CutPrefix(part, "sig="); ok && strings.Contains(text, value) {
			t.Errorf("the SAS is in %q", text)
		}
	}
}

// refusing is an endpoint that answers as the service does in a state that no
// emulator can be brought into.
func refusing(t *testing.T, status int, code string, header map[string]string, text string) *Container {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for key, value := range header {
			w.Header().Set(key, value)
		}
		w.Header().Set("X-Ms-Error-Code", code)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, text)
	}))
	t.Cleanup(server.Close)
	key, err := FromKey("team", "c2VjcmV0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Location{Account: "team", Container: "data", Endpoint: server.URL + "/team"}, key, Options{Patience: time.Millisecond, firstWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswersOfTheService(t *testing.T) {
	hourAgo := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	for _, test := range []struct {
		name   string
		status int
		code   string
		header map[string]string
		text   string
		want   string
	}{
		{"clock", 403, "AuthenticationFailed", map[string]string{"Date": hourAgo}, "Server failed to authenticate the request.", "this computer's clock is wrong by 1h0m0s"},
		{"old date", 403, "AuthenticationFailed", nil, "Request date header too old: 'x'", "this computer's clock is wrong"},
		{"throttled", 503, "ServerBusy", nil, "", "the store cannot answer now (503 ServerBusy)"},
		{"too many", 429, "", nil, "", "the store cannot answer now (429 Too Many Requests)"},
		{"role", 403, "AuthorizationPermissionMismatch", nil, "", "this is not permitted (403 AuthorizationPermissionMismatch)"},
		{"firewall, or an emulator's wrong key", 403, "AuthorizationFailure", nil, "", "the account key is not the right one"},
		{"archived", 409, "BlobArchived", nil, "", "the store refuses (409 BlobArchived)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := refusing(t, test.status, test.code, test.header, test.text).Check(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || !strings.HasSuffix(err.Error(), ": azblob://team/data") {
				t.Errorf("got %v, want %s: azblob://team/data", err, test.want)
			}
		})
	}
}
