package server

import (
	"net/http"
	"strconv"

	"github.com/runnerml/runner/internal/controller"
)

func (s *Server) outputs(w http.ResponseWriter, r *http.Request) error {
	attempt, err := intOf(r.URL.Query(), "attempt", 0)
	if err != nil {
		return err
	}
	files, err := s.Service.Outputs(r.Context(), r.PathValue("id"), attempt)
	if err != nil {
		return err
	}
	if files == nil {
		files = []controller.OutputFile{}
	}
	writeJSON(w, http.StatusOK, files)
	return nil
}

// output sends one file, or the range of it that is asked for. A file that is
// shorter than was said ends in a cut.
func (s *Server) output(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	attempt, err := intOf(q, "attempt", 0)
	if err != nil {
		return err
	}
	file, err := s.Service.OpenOutput(r.Context(), r.PathValue("id"), attempt, q.Get("path"))
	if err != nil {
		return err
	}
	defer file.Close()
	head := w.Header()
	head.Set("Content-Type", "application/octet-stream")
	head.Set("X-Content-Type-Options", "nosniff")
	if file.Digest != "" {
		head.Set("ETag", strconv.Quote(file.Digest))
	}
	http.ServeContent(w, r, "", file.Modified, file)
	return nil
}
