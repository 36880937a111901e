package server

import (
	"encoding/json"
	"net/http"
	"time"
)

// keepAlive is how often an empty line says that a quiet stream still lives.
const keepAlive = 15 * time.Second

// watch streams a run's story, one JSON object a line. The last one holds the
// run as it ended; without that the stream was cut.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) error {
	after, err := intOf(r.URL.Query(), "after", 0)
	if err != nil {
		return err
	}
	notices, err := s.Service.Watch(r.Context(), r.PathValue("id"), after)
	if err != nil {
		return err
	}
	lines := newLineWriter(w)
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		select {
		case notice, ok := <-notices:
			if !ok {
				return lines.end(r)
			}
			if err := lines.write(notice); err != nil {
				return lines.end(r)
			}
		case <-quiet.C:
			if err := lines.blank(); err != nil {
				return lines.end(r)
			}
		}
	}
}

// lineWriter writes JSON lines that leave at once.
type lineWriter struct {
	out   http.ResponseWriter
	flush *http.ResponseController
	json  *json.Encoder
}

func newLineWriter(w http.ResponseWriter) *lineWriter {
	w.Header().Set("Content-Type", "application/x-ndjson")
	l := &lineWriter{out: w, flush: http.NewResponseController(w), json: json.NewEncoder(w)}
	w.WriteHeader(http.StatusOK)
	_ = l.flush.Flush() // a broken line shows at the next write
	return l
}

func (l *lineWriter) write(v any) error {
	if err := l.json.Encode(v); err != nil {
		return err
	}
	return l.flush.Flush()
}

func (l *lineWriter) blank() error {
	if _, err := l.out.Write([]byte("\n")); err != nil {
		return err
	}
	return l.flush.Flush()
}

// end is the clean end of a stream, or a cut when the request is over already.
func (l *lineWriter) end(r *http.Request) error {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
