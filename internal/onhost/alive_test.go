package onhost

import (
	"errors"
	"io"
	"testing"
	"time"
)

// Who says nothing for too long is gone; who says anything now and then is not.
func TestWhileHeard(t *testing.T) {
	const limit, pause = 2 * time.Second, 200 * time.Millisecond
	from, to := io.Pipe()
	heard := whileHeard(from, limit)
	go func() {
		for range 20 { // twice the limit
			time.Sleep(pause)
			_, _ = to.Write([]byte("x"))
		}
	}()
	data, err := io.ReadAll(heard)
	if string(data) != "xxxxxxxxxxxxxxxxxxxx" || !errors.Is(err, ErrCut) {
		t.Errorf("heard %q, %v", data, err)
	}
	_ = to.Close()

	from, to = io.Pipe()
	heard = whileHeard(from, limit)
	_ = to.CloseWithError(io.ErrUnexpectedEOF)
	if _, err := heard.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("its end: %v", err)
	}
}
