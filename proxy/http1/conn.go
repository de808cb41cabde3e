//go:build linux && !portable

package http1

import (
	"context"
	"net/http"
	"runtime/debug"

	"sluice/internal/loop"
	"sluice/proxy/clientio"
)

// conn is a client's connection. The loop has it, or the goroutine that serves a request:
// then only what says so is for both.
type conn struct {
	*clientio.Conn
	server *Server
	loop   *loopConns
	sock   *loop.Conn
	slot   loop.SlotID
	secure

	ahead    []byte             // read and not used yet: of the next head, or of the body
	requests int32              // the loop's
	removed  bool               // from the server, whose lock guards it
	cancel   context.CancelFunc // ends the context of a request that a goroutine serves; the loop's
	forward  *forwarding        // what the loop forwards; nil while it does not
}

// Closed implements [loop.Owner].
func (c *conn) Closed() { c.loop.Post(func() { c.loop.forget(c) }) }

// serve calls handle with the writer of a request, and gives the connection back to the loop
// unless it ends.
func (c *conn) serve(w *writer, handle func()) {
	whole := c.call(handle)
	switch {
	case w.hijacked: // whoever has it closes it, or detaches it
		c.server.remove(c)
	case whole && w.finish() == nil && w.keepsAlive():
		c.loop.Post(func() { c.loop.resume(c) })
	default:
		if !w.last || w.body.followed() { // the client may be sending its next request
			c.Wire.EndReads()
		}
		c.Conn.Close() // before finish, which waits for a Read to end
		w.body.finish()
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
