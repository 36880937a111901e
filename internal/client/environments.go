package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// BuildEnvironment has an environment made, writes what the tools say to log
// and calls progress. When the line breaks it is asked again: what was made
// meanwhile is found.
func (c *Client) BuildEnvironment(ctx context.Context, b server.BuildRequest, log io.Writer, progress func(controller.Progress)) (*controller.EnvironmentInfo, error) {
	var info *controller.EnvironmentInfo
	err := c.again(ctx, func(ctx context.Context) error {
		response, err := c.send(ctx, request{method: http.MethodPost, path: "/v1/environments/build", body: b})
		if err != nil {
			return err
		}
		defer response.Body.Close()
		info, err = readBuild(response.Body, log, progress)
		return err
	})
	return info, err
}

func readBuild(body io.Reader, log io.Writer, progress func(controller.Progress)) (*controller.EnvironmentInfo, error) {
	for items := json.NewDecoder(body); ; {
		var item server.BuildItem
		if err := items.Decode(&item); err != nil {
			return nil, errors.Join(errCut, err)
		}
		switch {
		case item.Error != nil:
			return nil, item.Error
		case item.Environment != nil:
			return item.Environment, nil
		case item.Progress != nil:
			progress(*item.Progress)
		default:
			if _, err := log.Write(item.Log); err != nil {
				return nil, &final{err}
			}
		}
	}
}

// Environments lists those that are known.
func (c *Client) Environments(ctx context.Context) ([]controller.EnvironmentInfo, error) {
	all, err := get[[]controller.EnvironmentInfo](ctx, c, "/v1/environments", nil)
	return value(all), err
}

// Environment finds one by name or digest.
func (c *Client) Environment(ctx context.Context, name string) (*controller.EnvironmentInfo, error) {
	return get[controller.EnvironmentInfo](ctx, c, "/v1/environments/"+url.PathEscape(name), nil)
}

// EnvironmentLock gives the exact versions that an environment was made of.
func (c *Client) EnvironmentLock(ctx context.Context, name string) (string, error) {
	text, err := get[server.Text](ctx, c, "/v1/environments/"+url.PathEscape(name)+"/lock", nil)
	return value(text).Text, err
}

// PruneEnvironments removes those that nobody used for that long.
func (c *Client) PruneEnvironments(ctx context.Context, p server.PruneRequest) (*controller.PruneReport, error) {
	return post[controller.PruneReport](ctx, c, "/v1/environments/prune", p)
}
