package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
)

// Agent asks who answers.
func (c *Client) Agent(ctx context.Context) (*server.AgentInfo, error) {
	return get[server.AgentInfo](ctx, c, "/v1/agent", nil)
}

// Submit submits a run. It may be called again with the same request id, and
// calls itself again when the answer was lost.
func (c *Client) Submit(ctx context.Context, s controller.Submission) (*run.Run, error) {
	return post[run.Run](ctx, c, "/v1/runs", s)
}

// SubmitArray is Submit for many runs of one submission: all or none. They come
// in the order of their arguments.
func (c *Client) SubmitArray(ctx context.Context, s controller.ArraySubmission) ([]run.Run, error) {
	runs, err := post[[]run.Run](ctx, c, "/v1/arrays", s)
	return value(runs), err
}

// Plan says what a submission would do.
func (c *Client) Plan(ctx context.Context, s controller.Submission) (*controller.Plan, error) {
	return post[controller.Plan](ctx, c, "/v1/plan", s)
}

// Run finds a run by id, unique prefix of it, or "@last".
func (c *Client) Run(ctx context.Context, id string) (*run.Run, error) {
	return get[run.Run](ctx, c, runPath(id, ""), nil)
}

// List lists runs, newest first.
func (c *Client) List(ctx context.Context, f controller.Filter) ([]run.Run, error) {
	runs, err := get[[]run.Run](ctx, c, "/v1/runs", server.EncodeFilter(f))
	return value(runs), err
}

// Events lists a run's events with a number greater than after.
func (c *Client) Events(ctx context.Context, id string, after int) ([]run.Event, error) {
	events, err := get[[]run.Event](ctx, c, runPath(id, "/events"), url.Values{"after": {strconv.Itoa(after)}})
	return value(events), err
}

// Cancel asks a run to end.
func (c *Client) Cancel(ctx context.Context, id string) (*run.Run, error) {
	return post[run.Run](ctx, c, runPath(id, "/cancel"), nil)
}

// RunLock gives the exact versions that a run's environment was made of.
func (c *Client) RunLock(ctx context.Context, id string) (string, error) {
	text, err := get[server.Text](ctx, c, runPath(id, "/lock"), nil)
	return value(text).Text, err
}

// CheckData has some of what a path names read where a run on the target would.
func (c *Client) CheckData(ctx context.Context, path, target string) (*controller.DataCheck, error) {
	return post[controller.DataCheck](ctx, c, "/v1/data/check", server.DataCheckRequest{Path: path, Target: target})
}

// Prune frees what nothing needs any more.
func (c *Client) Prune(ctx context.Context, p server.PruneRequest) (*controller.PruneReport, error) {
	return post[controller.PruneReport](ctx, c, "/v1/prune", p)
}

// StopAgent asks the agent to end; runs go on. It is asked once.
func (c *Client) StopAgent(ctx context.Context) (*server.AgentInfo, error) {
	var info server.AgentInfo
	err := c.json(ctx, request{method: http.MethodPost, path: "/v1/agent/stop", once: true}, &info)
	return &info, err
}

func runPath(id, rest string) string { return "/v1/runs/" + url.PathEscape(id) + rest }

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	v := new(T)
	if err := c.json(ctx, request{method: http.MethodGet, path: path, query: query}, v); err != nil {
		return nil, err
	}
	return v, nil
}

func post[T any](ctx context.Context, c *Client, path string, body any) (*T, error) {
	v := new(T)
	if err := c.json(ctx, request{method: http.MethodPost, path: path, body: body}, v); err != nil {
		return nil, err
	}
	return v, nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
