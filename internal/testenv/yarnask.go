package testenv

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Kill ends an application as somebody else would.
func (y *YARNCluster) Kill(t testing.TB, application string) {
	t.Helper()
	y.ask(t, http.MethodPut, "/ws/v1/cluster/apps/"+application+"/state?user.name=root", `{"state":"KILLED"}`, nil)
}

// Submitted is how many applications with a tag there have been.
func (y *YARNCluster) Submitted(t testing.TB, tag string) int {
	t.Helper()
	var answer struct {
		Apps struct {
			App []json.RawMessage `json:"app"`
		} `json:"apps"`
	}
	y.ask(t, http.MethodGet, "/ws/v1/cluster/apps?applicationTags="+url.QueryEscape(tag), "", &answer)
	return len(answer.Apps.App)
}

// ask asks the ResourceManager's REST API.
func (y *YARNCluster) ask(t testing.TB, method, path, body string, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, y.Page+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %s", method, path, response.Status)
	}
	if answer == nil {
		return
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}
}
