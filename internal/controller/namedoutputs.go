package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Uploader ends named outputs at addresses outside.
type Uploader interface {
	// Check says what is certainly wrong with an address: what is missing there,
	// or who may not write there, as an *InvalidError if there is a hint. A store
	// that does not answer is not wrong.
	Check(ctx context.Context, address string) error
	// Upload sends files to an address. Doing so again sends what is not there yet.
	// It tells how far it is, in bytes, and what it waits for.
	Upload(ctx context.Context, files []UploadFile, address string, tell Telling) (Uploaded, error)
}

// UploadFile is a file of a named output.
type UploadFile struct {
	Name string // below the output, with slashes
	Open func(context.Context) (artifact.Readable, error)
}

// Telling hears how an upload goes.
type Telling struct {
	Progress func(done, total int64)
	Waiting  func(why string)
}

// Uploaded is what an upload did.
type Uploaded struct {
	Files int
	To    string   // the address, without any secret
	Left  []string // what could not be sent by its nature, and why
}

// uploadOutputs ends the named outputs of a run for which no other attempt
// follows, from where they came home. What it gives is told in the run's story.
func (d *driver) uploadOutputs(ctx context.Context, r *run.Run) (notes []string, err error) {
	named := d.spec.config.Outputs.Named
	a := r.Last()
	decision := run.Decide(r.Attempts, *a.Outcome, d.spec.config.Restart, r.CancelRequestedAt != nil)
	if len(named) == 0 || decision.Restart {
		return nil, nil
	}
	ctx, stop := d.unlessCanceled(ctx, r)
	defer stop()
	for _, name := range slices.Sorted(maps.Keys(named)) {
		output := named[name]
		if output.When != runconfig.WhenAlways && decision.State != run.Completed {
			notes = append(notes, fmt.Sprintf("output %s is not uploaded: the run did not complete", name))
			continue
		}
		note, err := d.uploadOutput(ctx, a.Number, name, output)
		if errors.Is(context.Cause(ctx), errNotAwaited) {
			notes = append(notes, fmt.Sprintf("canceled before output %s was uploaded; it is in %s", name, runconfig.OutputDirectory(name)))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("upload output %s: %w", name, err)
		}
		notes = append(notes, note)
	}
	return notes, nil
}

// deliver ends the named outputs, and concludes.
func (d *driver) deliver(ctx context.Context, r *run.Run) (*run.Run, error) {
	notes, err := d.uploadOutputs(ctx, r)
	if err != nil && !d.mayGiveUp(r) {
		return r, err
	}
	if err != nil {
		notes = append(notes, "canceled before it could be done: "+err.Error())
	}
	return d.conclude(ctx, notes)
}

// errNotAwaited ends an upload that somebody canceled.
var errNotAwaited = errors.New("canceled")

// unlessCanceled ends with a cancel that came when the attempt had ended: it can
// only be meant for what goes on since.
func (d *driver) unlessCanceled(ctx context.Context, r *run.Run) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := r.Last().EndedAt
	if r.CancelRequestedAt != nil && (ended == nil || !r.CancelRequestedAt.After(*ended)) {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(d.stop, func() { cancel(errNotAwaited) })
	return ctx, func() { stop(); cancel(nil) }
}

func (d *driver) uploadOutput(ctx context.Context, number int, name string, output runconfig.Output) (note string, err error) {
	directory := runconfig.OutputDirectory(name)
	files, left, err := d.filesOf(ctx, number, directory)
	if err != nil {
		return "", err
	}
	if len(files)+len(left) == 0 {
		return fmt.Sprintf("output %s is not uploaded: there is nothing in %s", name, directory), nil
	}
	if d.c.uploader == nil {
		return "", errors.New("this agent cannot upload")
	}
	done, err := d.c.uploader.Upload(ctx, files, output.Path, Telling{
		Progress: func(done, total int64) {
			d.c.live.setProgress(d.id, Progress{Step: "upload", Detail: name, Done: done, Total: total, Unit: "B"})
		},
		Waiting: func(why string) { d.c.live.setRemark(d.id, fmt.Sprintf("uploading output %s waits: %s", name, why)) },
	})
	if err != nil {
		return "", err
	}
	done.Left = append(left, done.Left...)
	note = fmt.Sprintf("output %s: %s in %s", name, countWords(done.Files), done.To)
	if len(done.Left) > 0 {
		note += "; not uploaded: " + strings.Join(done.Left[:min(len(done.Left), maxLeftNamed)], ", ")
		if more := len(done.Left) - maxLeftNamed; more > 0 {
			note += fmt.Sprintf(" and %d more", more)
		}
	}
	return note, nil
}

// filesOf are the files of a directory that an attempt left, and in words those
// that are none. A link to a file inside is that file.
func (d *driver) filesOf(ctx context.Context, number int, directory string) (files []UploadFile, left []string, err error) {
	folder, err := d.c.attemptFolder(d.spec.config, d.id, number)
	if err != nil {
		return nil, nil, err
	}
	all, err := folder.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range all {
		name, inside := strings.CutPrefix(f.Path, directory+"/")
		if !inside || f.Dir { // an empty directory leaves nothing
			continue
		}
		open := func(ctx context.Context) (artifact.Readable, error) { return folder.Open(ctx, f.Path) }
		if f.Link != "" {
			r, err := open(ctx)
			if err != nil {
				left = append(left, name+" (it is a link to no file inside)")
				continue
			}
			_ = r.Close() // only looked at
		}
		files = append(files, UploadFile{Name: name, Open: open})
	}
	return files, left, nil
}

// maxLeftNamed is how many files that were left out are named.
const maxLeftNamed = 5

func countWords(files int) string {
	if files == 1 {
		return "1 file is"
	}
	return fmt.Sprintf("%d files are", files)
}

// checkOutputs refuses outputs that cannot end where they are to.
func (c *Controller) checkOutputs(ctx context.Context, cfg *runconfig.ScriptRunConfig) (wrong []*InvalidError) {
	for _, name := range slices.Sorted(maps.Keys(cfg.Outputs.Named)) {
		where := "outputs." + name + ".path"
		if c.uploader == nil {
			wrong = append(wrong, &InvalidError{What: "this agent cannot upload outputs", Where: where})
			continue
		}
		if err := c.uploader.Check(ctx, cfg.Outputs.Named[name].Path); err != nil {
			e, ok := errors.AsType[*InvalidError](err)
			if !ok {
				e = &InvalidError{What: err.Error()}
			}
			wrong = append(wrong, &InvalidError{What: e.What, Where: where, Hint: e.Hint})
		}
	}
	return wrong
}
