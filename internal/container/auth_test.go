package container

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestAuthPrintsNoSecret(t *testing.T) {
	const secret = "s3cret"
	a := &Auth{Username: "user", Password: secret, IdentityToken: secret}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("login", "auth", a)
	for what, text := range map[string]string{
		"v": fmt.Sprintf("%v", a), "+v": fmt.Sprintf("%+v", a), "#v": fmt.Sprintf("%#v", a), "s": fmt.Sprint(a), "log": log.String(),
		"error": a.redacted(fmt.Errorf("refused: user:%s@host", secret)).Error(),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s prints %s", what, text)
		}
	}
}

func TestParseReference(t *testing.T) {
	tests := []struct{ name, registry, want string }{
		{"alpine", "", defaultRegistry() + "/library/alpine:latest"},
		{"team/image:2", "", defaultRegistry() + "/team/image:2"},
		{"reg2.example.com/team/image", "", "reg2.example.com/team/image:latest"},
		{"127.0.0.1:5000/x:1", "", "127.0.0.1:5000/x:1"},
		{"x:1", "reg.example.com", "reg.example.com/x:1"},
		{"team/x", "https://reg.example.com:5000/v2/", "reg.example.com:5000/team/x:latest"},
		{"reg.example.com/x:1", "reg.example.com", "reg.example.com/x:1"},
		{"other.example.com/x:1", "reg.example.com", "other.example.com/x:1"},
		{defaultRegistry() + "/team/x:1", "reg.example.com", defaultRegistry() + "/team/x:1"},
		{"team/x:1", "https://index." + defaultRegistry() + "/v1/", defaultRegistry() + "/team/x:1"},
		{"x@sha256:" + strings.Repeat("a", 64), "", defaultRegistry() + "/library/x@sha256:" + strings.Repeat("a", 64)},
		{"", "", ""},
		{"UPPER", "", ""},
		{"a b", "", ""},
		{"http://reg.example.com/x", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name+" at "+test.registry, func(t *testing.T) {
			got, err := ParseReference(test.name, test.registry)
			if got != test.want || (err != nil) != (test.want == "") {
				t.Errorf("reference %q, %v; want %q", got, err, test.want)
			}
			if err != nil && KindOf(err) != InvalidReference {
				t.Errorf("kind %q", KindOf(err))
			}
		})
	}
}
