package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
func (e Engine) call(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (io.ReadCloser, error) {
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
	maps.Copy(request.Header, header)
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
	body, err := e.call(ctx, method, path, query, nil, nil)
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
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
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
	query := tagQuery(reference)
	query["fromSrc"] = []string{"-"}
	query["changes"] = changes
	if err := e.progress(ctx, "/images/create", query, nil, tree); err != nil {
		return fmt.Errorf("import %s: %w", reference, err)
	}
	return nil
}

// tagQuery is a reference in the engine's form: repository and tag apart.
func tagQuery(reference string) url.Values {
	repository, tag := reference, "latest"
	if colon := strings.LastIndexByte(reference, ':'); colon > strings.LastIndexByte(reference, '/') {
		repository, tag = reference[:colon], reference[colon+1:]
	}
	return url.Values{"repo": {repository}, "tag": {tag}}
}

// progress posts a request whose answer is a stream of messages, and reads it to its end or to the first error in it.
func (e Engine) progress(ctx context.Context, path string, query url.Values, header http.Header, send io.Reader) error {
	body, err := e.call(ctx, http.MethodPost, path, query, header, send)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	for messages := json.NewDecoder(body); ; {
		var message struct{ Error string }
		switch err := messages.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != "":
			return errors.New(message.Error)
		}
	}
}
