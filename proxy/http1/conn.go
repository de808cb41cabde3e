//go:build linux && !portable

package http1

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/proxy/clientio"
)

// conn is a client's connection. The loop has it, or the goroutine that serves a request:
// then only what says so is for both.
type conn struct {
	*clientio.Conn
	server *Server
	loop   *loopConns
	raw    syscall.RawConn // of the socket: what is closed meanwhile is not used by its number
	slot   loop.SlotID

	ahead    []byte             // read and not used yet: of the next head, or of the body
	requests int                // the loop's
	cancel   context.CancelFunc // ends the context of a request that a goroutine serves; the loop's
	forward  *forwarding        // what the loop forwards; nil while it does not
}

// gone reports whether the client has closed the connection, or its direction of it, and there
// is nothing more to read before the end.
func (c *conn) gone() bool {
	unread := false
	c.raw.Control(func(fd uintptr) {
		var one [1]byte
		n, err := loop.Peek(int32(fd), one[:])
		unread = err == nil && n > 0 || err == unix.EAGAIN
	})
	return !unread
}

// serve calls handle with the writer of a request, and gives the connection back to the loop
// unless it ends.
func (c *conn) serve(w *writer, handle func()) {
	whole := c.call(handle)
	switch {
	case w.hijacked:
		c.loop.Post(func() { c.loop.forget(c) })
	case whole && w.finish() == nil && w.keepsAlive():
		c.loop.Post(func() { c.loop.resume(c) })
	default:
		c.Conn.Close() // before finish, which waits for a Read to end
		w.body.finish()
		c.loop.Post(func() { c.loop.forget(c) })
	}
}

// call calls handle and reports whether it has returned.
func (c *conn) call(handle func()) (whole bool) {
	defer func() {
		if cause := recover(); cause != nil {
			if whole = false; cause != http.ErrAbortHandler {
				c.server.options.Panicked(cause, debug.Stack())
			}
		}
	}()
	handle()
	return true
}

// hijack takes the connection away from the loop: epoll reports nothing more of it.
func (c *conn) hijack() error {
	var err error
	if failed := c.raw.Control(func(fd uintptr) { err = c.loop.Control(unix.EPOLL_CTL_DEL, int32(fd), new(loop.Entry), 0, 0) }); failed != nil {
		return failed
	}
	if err != nil {
		return errors.New("the connection can not be taken out of its loop")
	}
	return nil
}
