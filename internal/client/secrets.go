package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// SetSecret stores a secret under a name, in place of one that is there.
func (c *Client) SetSecret(ctx context.Context, name, value string) error {
	return c.json(ctx, request{method: http.MethodPut, path: secretPath(name), body: server.SecretValue{Value: value}}, nil)
}

// Secrets lists the stored secrets.
func (c *Client) Secrets(ctx context.Context) ([]controller.SecretInfo, error) {
	all, err := get[[]controller.SecretInfo](ctx, c, "/v1/secrets", nil)
	return value(all), err
}

// DeleteSecret has one forgotten. It is asked once: a second try would not find
// it any more.
func (c *Client) DeleteSecret(ctx context.Context, name string) error {
	return c.json(ctx, request{method: http.MethodDelete, path: secretPath(name), once: true}, nil)
}

func secretPath(name string) string { return "/v1/secrets/" + url.PathEscape(name) }
