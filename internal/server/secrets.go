package server

import (
	"context"
	"net/http"

	"github.com/runnerml/runner/internal/controller"
)

// Secrets is the part of a Service that is about stored secrets. None gives a
// value back.
type Secrets interface {
	SetSecret(ctx context.Context, name, value string) error
	Secrets(ctx context.Context) ([]controller.SecretInfo, error)
	DeleteSecret(ctx context.Context, name string) error
}

// SecretValue is the body of a request to store a secret.
type SecretValue struct {
	Value string `json:"value"`
}

// secretRoutes are the requests about stored secrets.
func (s *Server) secretRoutes() map[string]func(http.ResponseWriter, *http.Request) error {
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/secrets": func(w http.ResponseWriter, r *http.Request) error {
			all, err := s.Service.Secrets(r.Context())
			if err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, all)
			return nil
		},
		"PUT /v1/secrets/{name}": func(w http.ResponseWriter, r *http.Request) error {
			var v SecretValue
			if err := readJSON(r, &v); err != nil {
				return err
			}
			if err := s.Service.SetSecret(r.Context(), r.PathValue("name"), v.Value); err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, struct{}{})
			return nil
		},
		"DELETE /v1/secrets/{name}": func(w http.ResponseWriter, r *http.Request) error {
			if err := s.Service.DeleteSecret(r.Context(), r.PathValue("name")); err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, struct{}{})
			return nil
		},
	}
}
