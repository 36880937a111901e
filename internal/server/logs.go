package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/runnerml/runner/internal/controller"
)

// logBuffer is how much of a log is moved at once, in bytes.
const logBuffer = 256 << 10

// logs streams a part of a run's log as it comes. What goes wrong in the
// middle is said in a trailer.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	query, err := parseLogQuery(r.URL.Query())
	if err != nil {
		return err
	}
	log, err := s.Service.Logs(r.Context(), r.PathValue("id"), query)
	if err != nil {
		return err
	}
	defer log.Close()
	head := w.Header()
	head.Set("Content-Type", "application/octet-stream")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Trailer", TrailerError)
	if at, ok := log.(Positioned); ok {
		attempt, offset := at.Position()
		head.Set(HeaderAttempt, strconv.Itoa(attempt))
		head.Set(HeaderOffset, strconv.FormatInt(offset, 10))
	}
	w.WriteHeader(http.StatusOK)
	err = copyFlushing(w, log)
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		head.Set(TrailerError, encodeTrailer(ProblemOf(err)))
	}
	return nil
}

// copyFlushing sends all of r, flushing whenever r has nothing more for now.
func copyFlushing(w http.ResponseWriter, r io.Reader) error {
	flush := http.NewResponseController(w)
	if err := flush.Flush(); err != nil {
		return err
	}
	buffer := make([]byte, logBuffer)
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			if n < len(buffer) {
				if err := flush.Flush(); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// encodeTrailer gives JSON in ASCII, which is all that a trailer may hold.
func encodeTrailer(p *Problem) string {
	data, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	return url.QueryEscape(string(data))
}

// DecodeTrailer reads what TrailerError says; nil when it is empty.
func DecodeTrailer(value string) *Problem {
	if value == "" {
		return nil
	}
	p := &Problem{Code: Internal, Message: "the log was cut"}
	if text, err := url.QueryUnescape(value); err == nil {
		_ = json.Unmarshal([]byte(text), p) // else the words above stand
	}
	return p
}

// EncodeLogQuery is the query of GET /v1/runs/{id}/logs.
func EncodeLogQuery(l controller.LogQuery) url.Values {
	q := url.Values{}
	number := func(key string, value int64) {
		if value != 0 {
			q.Set(key, strconv.FormatInt(value, 10))
		}
	}
	number("attempt", int64(l.Attempt))
	number("node", int64(l.Node))
	number("offset", l.Offset)
	q.Set("tail", strconv.Itoa(l.Tail))
	if l.Follow {
		q.Set("follow", "true")
	}
	if !l.Since.IsZero() {
		q.Set("since", l.Since.UTC().Format(time.RFC3339Nano))
	}
	return q
}

func parseLogQuery(q url.Values) (l controller.LogQuery, err error) {
	l.Tail = -1
	for key, into := range map[string]*int{"attempt": &l.Attempt, "node": &l.Node, "tail": &l.Tail} {
		if *into, err = intOf(q, key, *into); err != nil {
			return l, err
		}
	}
	if l.Attempt < 0 || l.Node < 0 {
		return l, Wrong("attempts count from 1 and nodes from 0", "logs", "")
	}
	if l.Follow, err = boolOf(q, "follow"); err != nil {
		return l, err
	}
	if text := q.Get("offset"); text != "" {
		if l.Offset, err = strconv.ParseInt(text, 10, 64); err != nil || l.Offset < 0 {
			return l, Wrong("not an offset: "+strconv.Quote(text), "offset", "")
		}
	}
	if text := q.Get("since"); text != "" {
		if l.Since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return l, Wrong("not a time: "+strconv.Quote(text), "since", "times are in RFC 3339")
		}
	}
	return l, nil
}
