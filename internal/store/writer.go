package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"
)

// maxBatch is how many writes share a transaction at most.
const maxBatch = 256

// write is one function to run inside a transaction, and where its caller
// waits for the commit.
type write struct {
	ctx context.Context
	f   func(*writeTx) error
	// urgent writes may use the reserve of a full disk.
	urgent bool
	err    error
	news   []Change
	done   chan error
}

// writer is the one that writes: a goroutine with a connection of its own.
type writer struct {
	s     *Store
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	in    chan *write
	quit  chan struct{}
	ended chan struct{}
}

func startWriter(s *Store, conn *sql.Conn) *writer {
	w := &writer{
		s: s, conn: conn, stmts: map[string]*sql.Stmt{},
		in: make(chan *write), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go w.loop()
	return w
}

// do runs f in the writer's transaction and returns when it is on the disk,
// or undone. f may run only for the time its statements take: others wait.
// The context counts until the writer takes f; from then on the answer is
// waited for, so that it is never unknown whether a write happened.
func (w *writer) do(ctx context.Context, f func(*writeTx) error) error {
	return w.submit(&write{ctx: ctx, f: f, done: make(chan error, 1)})
}

// doUrgent is do for what goes on or ends things: on a full disk it may use
// the reserve.
func (w *writer) doUrgent(ctx context.Context, f func(*writeTx) error) error {
	return w.submit(&write{ctx: ctx, f: f, urgent: true, done: make(chan error, 1)})
}

func (w *writer) submit(job *write) error {
	ctx := job.ctx
	select {
	case w.in <- job:
		return <-job.done
	case <-ctx.Done():
		return ctx.Err()
	case <-w.quit:
		return ErrClosed
	}
}

// stop ends the loop after the batch under way and frees the connection.
func (w *writer) stop() error {
	close(w.quit)
	<-w.ended
	var errs []error
	for _, st := range w.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

func (w *writer) loop() {
	defer close(w.ended)
	for {
		select {
		case <-w.quit:
			return
		case job := <-w.in:
			w.batch(w.gather(job))
		}
	}
}

// gather takes the writes that wait behind the first.
func (w *writer) gather(first *write) []*write {
	jobs := []*write{first}
	for len(jobs) < maxBatch {
		select {
		case job := <-w.in:
			jobs = append(jobs, job)
		default:
			return jobs
		}
	}
	return jobs
}

// batch runs the jobs in one transaction and answers each. When the disk is
// full, the urgent ones are tried once more with the room of the reserve.
func (w *writer) batch(jobs []*write) {
	err := w.transact(jobs)
	if code(err) == sqlite3.SQLITE_FULL {
		urgent, others := split(jobs)
		if len(urgent) > 0 && w.s.reserve.spend() {
			w.answer(others, err)
			jobs, err = urgent, w.transact(urgent)
		}
	}
	if err == nil {
		w.s.reserve.keep()
	}
	w.answer(jobs, err)
}

func split(jobs []*write) (urgent, others []*write) {
	for _, job := range jobs {
		if job.urgent {
			urgent = append(urgent, job)
		} else {
			others = append(others, job)
		}
	}
	return urgent, others
}

// answer tells the callers; err is that of all of them.
func (w *writer) answer(jobs []*write, err error) {
	for _, job := range jobs {
		if job.err == nil && err == nil {
			w.s.feed.publish(job.news)
		}
	}
	for _, job := range jobs {
		if job.err == nil {
			job.err = err
		}
		job.done <- w.s.explain(job.err)
	}
}

// transact leaves the error of a single job in it; the error it returns is
// that of all of them.
func (w *writer) transact(jobs []*write) error {
	t := &writeTx{w: w}
	if err := t.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for _, job := range jobs {
		if job.err = job.ctx.Err(); job.err != nil {
			continue
		}
		if err := w.one(t, job); err != nil {
			t.rollback()
			return err
		}
	}
	if err := t.exec("COMMIT"); err != nil {
		t.rollback()
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// one runs a job in a savepoint. It returns an error only when the whole
// transaction is lost.
func (w *writer) one(t *writeTx, job *write) error {
	t.news = nil
	if err := t.exec("SAVEPOINT job"); err != nil {
		return err
	}
	job.err = job.f(t)
	if fatal(job.err) {
		return job.err
	}
	if job.err != nil {
		if err := t.exec("ROLLBACK TO job"); err != nil {
			return err
		}
	}
	job.news = t.news
	return t.exec("RELEASE job")
}

// writeTx is what a write function works with: prepared statements on the
// writer's connection.
type writeTx struct {
	w    *writer
	news []Change
}

func (t *writeTx) stmt(text string) (*sql.Stmt, error) {
	if st := t.w.stmts[text]; st != nil {
		return st, nil
	}
	// No context: a write that began is never cut.
	st, err := t.w.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	t.w.stmts[text] = st
	return st, nil
}

func (t *writeTx) exec(text string, args ...any) error {
	_, err := t.affected(text, args...)
	return err
}

// affected runs a statement and tells how many rows it changed.
func (t *writeTx) affected(text string, args ...any) (int64, error) {
	st, err := t.stmt(text)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query is querier's; the caller's context does not cut it either.
func (t *writeTx) query(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := t.stmt(text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

// rollback undoes the transaction. SQLite may have done so itself, which then
// is the error that says there is none.
func (t *writeTx) rollback() { _ = t.exec("ROLLBACK") }
