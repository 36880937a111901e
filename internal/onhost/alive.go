package onhost

import (
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	// hereStep is how often serve is told that somebody is still here.
	hereStep = 10 * time.Second
	// hereLimit is how long it believes that while nothing at all comes. A
	// connection that was cut may take many minutes to be noticed over there;
	// what a command of it holds, its locks first of all, must not wait so long.
	hereLimit = 45 * time.Second
)

// sayHere tells serve that we are still here, until the session ends.
func sayHere(session *yamux.Session) {
	stream, err := session.OpenStream()
	if err != nil {
		return
	}
	defer func() { _ = stream.Close() }()
	out := &speaker{w: stream}
	if out.value(markAsk, request{Op: opAlive}) != nil {
		return
	}
	tick := time.NewTicker(hereStep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if out.frame(markAlive, nil) != nil {
				return
			}
		case <-session.CloseChan():
			return
		}
	}
}

// hearHere takes what sayHere says, which need only have come.
func hearHere(in *listener) error {
	for {
		if _, _, err := in.frame(); err != nil {
			return err
		}
	}
}

// whileHeard gives what comes from r, until nothing has come for limit.
func whileHeard(r io.Reader, limit time.Duration) io.Reader {
	out, feed := io.Pipe()
	silence := time.AfterFunc(limit, func() { _ = feed.CloseWithError(ErrCut) }) // always nil
	go func() {                                                                  // ends with r
		defer silence.Stop()
		buf := make([]byte, dataFrame)
		for {
			n, err := r.Read(buf)
			silence.Stop()
			if n > 0 {
				if _, err := feed.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				_ = feed.CloseWithError(err) // always nil
				return
			}
			silence.Reset(limit)
		}
	}()
	return out
}
