package supervise

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is how much a process may write ahead of us.
	pipeSize = 1 << 20
	// firstBuffer and fullBuffer: a quiet process costs little memory, a loud
	// one gets large reads.
	firstBuffer = 16 << 10
	fullBuffer  = 512 << 10
	// holdBack is how long what may be the beginning of a secret waits for the
	// rest. A line that is ended is not held, unless a secret goes on after it.
	holdBack = 2 * time.Second
)

// pump carries the output of a process from its pipe to its log.
type pump struct {
	read  *os.File
	log   *logWriter
	hide  *redactor
	size  int // of the pipe
	ended chan struct{}
	// finishing is closed before the read is woken for the last time.
	finishing chan struct{}
}

// newPump makes the pipe. The caller gives write to the process and closes it.
func newPump(log *logWriter, hide *redactor) (p *pump, write *os.File, err error) {
	fds := make([]int, 2)
	if err := pipe(fds); err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	// Only our end is non-blocking: the process gets an ordinary pipe.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	p = &pump{
		log: log, hide: hide, size: growPipe(fds[0], pipeSize), read: os.NewFile(uintptr(fds[0]), "output"),
		ended: make(chan struct{}), finishing: make(chan struct{}),
	}
	return p, os.NewFile(uintptr(fds[1]), "output"), nil
}

// run reads until all writers are gone, or finish is called.
func (p *pump) run() {
	defer close(p.ended)
	buf := make([]byte, firstBuffer)
	for {
		n, err := p.read.Read(buf)
		if n > 0 {
			p.write(buf[:n])
			if n == len(buf) && n < fullBuffer {
				buf = make([]byte, fullBuffer)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !p.isFinishing():
			p.flush()
			_ = p.read.SetReadDeadline(time.Time{}) // a pipe has deadlines
			if p.isFinishing() {
				p.drain(buf)
				return
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.drain(buf)
			return
		default: // EOF: nobody can write any more
			p.flush()
			return
		}
	}
}

func (p *pump) isFinishing() bool {
	select {
	case <-p.finishing:
		return true
	default:
		return false
	}
}

func (p *pump) write(b []byte) {
	if p.hide == nil {
		_, _ = p.log.Write(b) // never fails
		return
	}
	_, _ = p.log.Write(p.hide.filter(b)) // never fails
	if len(p.hide.held) > 0 && !p.isFinishing() {
		_ = p.read.SetReadDeadline(time.Now().Add(holdBack)) // a pipe has deadlines
		if p.isFinishing() {
			_ = p.read.SetReadDeadline(time.Now()) // finish came between the two
		}
	}
}

func (p *pump) flush() {
	if p.hide != nil {
		_, _ = p.log.Write(p.hide.flush()) // never fails
	}
}

// drain takes what is in the pipe, and not more than it can hold: somebody we
// cannot end may be writing on.
func (p *pump) drain(buf []byte) {
	_ = p.read.SetReadDeadline(time.Time{}) // a pipe has deadlines
	raw, err := p.read.SyscallConn()
	if err != nil {
		p.flush()
		return
	}
	for taken := 0; taken <= p.size; {
		n := 0
		_ = raw.Read(func(fd uintptr) bool {
			for {
				n, err = syscall.Read(int(fd), buf)
				if !errors.Is(err, syscall.EINTR) {
					return true
				}
			}
		})
		if n <= 0 {
			break
		}
		taken += n
		p.write(buf[:n])
	}
	p.flush()
}

// finish ends the pump: all that should write to the pipe is gone.
func (p *pump) finish() {
	close(p.finishing)
	_ = p.read.SetReadDeadline(time.Now()) // a pipe has deadlines
	<-p.ended
	_ = p.read.Close() // only read
}
