package server

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/runnerml/runner/internal/snapshot"
)

// Snapshots is where uploaded sources go: a *snapshot.Store.
type Snapshots interface {
	Has(id snapshot.ID) bool
	Missing(ctx context.Context, m *snapshot.Manifest) ([]snapshot.Digest, error)
	Import(ctx context.Context, r io.Reader) (snapshot.ID, error)
}

// MissingAnswer lists what a snapshot needs and the server has not.
type MissingAnswer struct {
	// Have tells that the whole snapshot is there.
	Have    bool              `json:"have"`
	Missing []snapshot.Digest `json:"missing"`
}

// UploadAnswer names a snapshot that was taken.
type UploadAnswer struct {
	ID snapshot.ID `json:"id"`
}

// snapshotHave says whether a snapshot is there already.
func (s *Server) snapshotHave(w http.ResponseWriter, r *http.Request) error {
	id, err := snapshot.ParseID(r.PathValue("id"))
	if err != nil {
		return Wrong(err.Error(), "", "")
	}
	writeJSON(w, http.StatusOK, MissingAnswer{Have: s.Snapshots.Has(id), Missing: []snapshot.Digest{}})
	return nil
}

// snapshotMissing takes a manifest and says which contents have to be sent.
func (s *Server) snapshotMissing(w http.ResponseWriter, r *http.Request) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return s.bodyProblem(err)
	}
	var m snapshot.Manifest
	if err := m.UnmarshalBinary(data); err != nil {
		return Wrong("not a snapshot's manifest: "+err.Error(), "", "")
	}
	missing, err := s.Snapshots.Missing(r.Context(), &m)
	if err != nil {
		return err
	}
	if missing == nil {
		missing = []snapshot.Digest{}
	}
	writeJSON(w, http.StatusOK, MissingAnswer{Have: s.Snapshots.Has(m.ID), Missing: missing})
	return nil
}

// snapshotUpload takes the stream of snapshot.Store.Export.
func (s *Server) snapshotUpload(w http.ResponseWriter, r *http.Request) error {
	id, err := s.Snapshots.Import(r.Context(), r.Body)
	if err != nil {
		return s.bodyProblem(err)
	}
	writeJSON(w, http.StatusCreated, UploadAnswer{ID: id})
	return nil
}

func (s *Server) bodyProblem(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Problem{
			Code: TooLarge, Message: "the source is larger than this server takes",
			Hint: "name what the script does not need in .runnerignore",
		}
	}
	return err
}
