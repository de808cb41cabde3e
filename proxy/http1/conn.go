//go:build linux && !portable

package http1

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/internal/h1"
	"sluice/internal/loop"
	"sluice/internal/message"
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
	cancel   context.CancelFunc // ends the context of the request; the loop's
}

// left notes that the client has closed the connection, or its direction of it. That ends the
// request, unless there is more to read before the end.
func (c *conn) left() {
	unread := false
	c.raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		unread = err == nil && n > 0
	})
	if !unread {
		c.cancel()
	}
}

// serve answers a request, or refuses what is none, and gives the connection back to the loop
// unless it ends.
func (c *conn) serve(ctx context.Context, h h1.Head, refusal *h1.Refusal) {
	w := newWriter(c, &h)
	whole := c.handle(ctx, w, &h, refusal)
	switch {
	case w.hijacked:
		c.loop.Post(func() { c.loop.forget(c) })
	case whole && w.finish() == nil && w.keepsAlive():
		c.loop.Post(func() { c.loop.resume(c) })
	default:
		c.Conn.Close()
		c.loop.Post(func() { c.loop.forget(c) })
	}
}

// handle calls the handler and reports whether it has returned.
func (c *conn) handle(ctx context.Context, w *writer, h *h1.Head, refusal *h1.Refusal) (whole bool) {
	o := &c.server.options
	defer func() {
		switch cause := recover(); {
		case cause == nil:
		case cause == http.ErrAbortHandler:
			whole = false
		default:
			whole = false
			o.Panicked(cause, debug.Stack())
		}
	}()
	r := message.FromHead(ctx, h, c.Wire.Peer(), &w.body, &w.body.trailer)
	if refusal != nil {
		w.closes = true
		o.Refuse(c.Conn, w, r, refusal)
	} else {
		o.Handler(c.Conn, w, r)
	}
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
