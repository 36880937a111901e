package sparksubmit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/user"
	"strings"
	"time"
)

// askTimeout bounds one question to a ResourceManager.
const askTimeout = 20 * time.Second

// web asks ResourceManagers by their REST API.
type web struct {
	managers []string
	client   *http.Client
	// user is who we are, for a cluster that believes what it is told.
	user string
}

func newWeb(managers []string) *web {
	w := &web{managers: managers, client: &http.Client{Timeout: askTimeout}}
	if me, err := user.Current(); err == nil {
		w.user = me.Username
	}
	return w
}

var (
	errNoManager = errors.New("the cluster's configuration names no ResourceManager")
	errRefused   = errors.New("the ResourceManager refused")
)

// ask asks the managers in turn: of two, one stands by and does not answer.
func (w *web) ask(ctx context.Context, method, path string, body, answer any) error {
	if len(w.managers) == 0 {
		return errNoManager
	}
	var errs []error
	for _, manager := range w.managers {
		err := w.askOne(ctx, method, manager+path, body, answer)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (w *web) askOne(ctx context.Context, method, address string, body, answer any) error {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	const most = 16 << 20
	data, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusNotFound && isForgotten(data) {
		return errForgotten
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%w: %s", errRefused, response.Status)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("%w: its answer is no JSON", errRefused)
	}
	return nil
}

// isForgotten tells a ResourceManager's own answer of no such application from
// that of somebody who has no such page.
func isForgotten(answer []byte) bool {
	var said struct {
		Remote struct {
			Message string `json:"message"`
		} `json:"RemoteException"`
	}
	return json.Unmarshal(answer, &said) == nil && strings.Contains(said.Remote.Message, "not found")
}

func (w *web) find(ctx context.Context, tag string) ([]application, error) {
	var answer struct {
		Apps *struct {
			App []application `json:"app"`
		} `json:"apps"`
	}
	if err := w.ask(ctx, http.MethodGet, "/ws/v1/cluster/apps?applicationTags="+url.QueryEscape(tag), nil, &answer); err != nil {
		return nil, err
	}
	if answer.Apps == nil {
		return nil, nil
	}
	return answer.Apps.App, nil
}

func (w *web) status(ctx context.Context, id string) (*application, error) {
	var answer struct {
		App application `json:"app"`
	}
	if err := w.ask(ctx, http.MethodGet, "/ws/v1/cluster/apps/"+url.PathEscape(id), nil, &answer); err != nil {
		return nil, err
	}
	return &answer.App, nil
}

func (w *web) kill(ctx context.Context, id string) error {
	path := "/ws/v1/cluster/apps/" + url.PathEscape(id) + "/state"
	if w.user != "" {
		path += "?user.name=" + url.QueryEscape(w.user)
	}
	return w.ask(ctx, http.MethodPut, path, map[string]string{"state": "KILLED"}, nil)
}
