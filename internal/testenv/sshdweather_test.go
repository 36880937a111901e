package testenv

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"
)

// What goes over a late line is what was sent, in order, and late.
func TestLineIsLate(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() { // an echo
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	line := Cut(t, listener.Addr().String())
	const delay, jitter = 40 * time.Millisecond, 30 * time.Millisecond
	line.Lag(delay, jitter, 0.1)
	conn, err := net.Dial("tcp", line.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	one := []byte{1}
	if _, err := conn.Write(one); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, one); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*(delay-jitter) {
		t.Errorf("there and back in %s", took)
	}
	data := make([]byte, 3<<20)
	_, _ = rand.Read(data) // never fails
	go func() {
		_, _ = conn.Write(data)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came back, or others: %v", len(got), len(data), err)
	}
	if passed := line.Passed(); passed != 2*int64(len(data)+1) {
		t.Errorf("%d bytes passed", passed)
	}
}
