package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// errNotFound says that the engine has no such image or container.
var errNotFound = errors.New("not found")

// call sends one request to the engine. Connections are not kept, so that no goroutine outlives it. The caller
// closes the body.
func (e Engine) call(ctx context.Context, method, path string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
		},
	}}
	address := "http://engine" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("docker engine: %w", err)
	}
	if response.StatusCode < 300 {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	var problem struct{ Message string }
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil {
		problem.Message = response.Status
	}
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("docker engine: %s: %w", problem.Message, errNotFound)
	}
	return nil, fmt.Errorf("docker engine: %s %s: %s", method, path, problem.Message)
}

// ask reads one JSON answer of the engine into answer; a nil answer is read and dropped.
func (e Engine) ask(ctx context.Context, method, path string, query url.Values, answer any) error {
	body, err := e.call(ctx, method, path, query, nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if answer == nil {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	return json.NewDecoder(body).Decode(answer)
}

// ping says whether the engine answers.
func (e Engine) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return e.ask(ctx, http.MethodGet, "/_ping", nil, nil)
}

// image is what the engine says of an image.
type image struct {
	ID     string
	Config struct{ Labels map[string]string }
}

// image looks an image up by its reference; errNotFound when there is none.
func (e Engine) image(ctx context.Context, reference string) (image, error) {
	var found image
	err := e.ask(ctx, http.MethodGet, "/images/"+reference+"/json", nil, &found)
	return found, err
}

// importImage makes an image of a file tree in tar form. Changes are Dockerfile instructions, such as ENV or CMD.
func (e Engine) importImage(ctx context.Context, reference string, tree io.Reader, changes ...string) error {
	name, tag, _ := strings.Cut(reference, ":")
	body, err := e.call(ctx, http.MethodPost, "/images/create",
		url.Values{"fromSrc": {"-"}, "repo": {name}, "tag": {tag}, "changes": changes}, tree)
	if err != nil {
		return fmt.Errorf("import %s: %w", reference, err)
	}
	defer func() { _ = body.Close() }()
	for messages := json.NewDecoder(body); ; {
		var message struct{ Error string }
		switch err := messages.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("import %s: %w", reference, err)
		case message.Error != "":
			return fmt.Errorf("import %s: %s", reference, message.Error)
		}
	}
}
