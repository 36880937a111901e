package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// Attach has a target attached. It is asked once: a second try would meet the
// target of the first. told hears how far it is, where that takes long.
func (c *Client) Attach(ctx context.Context, a controller.Attachment, told func(controller.Progress)) (*server.AttachAnswer, error) {
	var answer server.AttachAnswer
	err := c.json(ctx, request{method: http.MethodPost, path: "/v1/targets", body: a, once: true, told: told}, &answer)
	return &answer, err
}

// Targets lists the compute targets.
func (c *Client) Targets(ctx context.Context) ([]controller.TargetInfo, error) {
	all, err := get[[]controller.TargetInfo](ctx, c, "/v1/targets", nil)
	return value(all), err
}

// Target gives everything known of one.
func (c *Client) Target(ctx context.Context, name string) (*controller.TargetInfo, error) {
	return get[controller.TargetInfo](ctx, c, targetPath(name, ""), nil)
}

// CheckTarget has a target reached anew.
func (c *Client) CheckTarget(ctx context.Context, name string) (*controller.TargetCheck, error) {
	return post[controller.TargetCheck](ctx, c, targetPath(name, "/check"), nil)
}

// Detach has a target given up. It is asked once: a second try would not find
// it any more.
func (c *Client) Detach(ctx context.Context, name string, d controller.Detachment) error {
	return c.json(ctx, request{method: http.MethodPost, path: targetPath(name, "/detach"), body: d, once: true}, nil)
}

// StopQueue keeps an instance's queue from granting anything.
func (c *Client) StopQueue(ctx context.Context, name string) (*controller.TargetInfo, error) {
	return post[controller.TargetInfo](ctx, c, targetPath(name, "/stop"), nil)
}

// StartQueue undoes StopQueue.
func (c *Client) StartQueue(ctx context.Context, name string) (*controller.TargetInfo, error) {
	return post[controller.TargetInfo](ctx, c, targetPath(name, "/start"), nil)
}

func targetPath(name, more string) string { return "/v1/targets/" + url.PathEscape(name) + more }
