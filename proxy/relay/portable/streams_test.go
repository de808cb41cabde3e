package portable

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/clock"
	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A stream is a connection that is a stream of another one: no socket. Calls of its
// methods are errors once it is over, as they are for a stream whose handler has returned.
type stream struct {
	conn net.Conn
	t    *testing.T
	over atomic.Bool
}

func (s *stream) call(method string) {
	if s.over.Load() {
		s.t.Errorf("the engine calls %s of a stream after Closed", method)
	}
}

func (s *stream) Read(b []byte) (int, error)  { s.call("Read"); return s.conn.Read(b) }
func (s *stream) Write(b []byte) (int, error) { s.call("Write"); return s.conn.Write(b) }
func (s *stream) Close() error                { s.call("Close"); return s.conn.Close() }
func (s *stream) CloseWrite() error           { s.call("CloseWrite"); return wire.CloseWrite(s.conn) }
func (s *stream) LocalAddr() net.Addr         { s.call("LocalAddr"); return nil }
func (s *stream) RemoteAddr() net.Addr        { s.call("RemoteAddr"); return nil }
func (s *stream) SetDeadline(time.Time) error { s.call("SetDeadline"); return errors.ErrUnsupported }
func (s *stream) SetReadDeadline(time.Time) error {
	s.call("SetReadDeadline")
	return errors.ErrUnsupported
}
func (s *stream) SetWriteDeadline(time.Time) error {
	s.call("SetWriteDeadline")
	return errors.ErrUnsupported
}

// What carries a stream waits for Closed, and may end with it: both ends of the session are
// closed then, and the engine calls nothing of them any more.
func TestStreamsAreReleasedWithTheirSession(t *testing.T) {
	tests := []struct {
		name string
		end  func(h *relaytest.Fixture, c, b *relaytest.Peer)
	}{
		{"a Close frame and its answer", func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			b.AnswerClose("close 1000", wstest.Close(1000, ""))
			c.AnswerClose("close 1000", wstest.Close(1000, ""))
		}},
		{"peers that never close", func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
		}},
		{"a client that does not read", func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			go b.Write(frametest.Encode(core.Backend, frametest.Binary(relaytest.RandomPayload(8<<10))))
			synctest.Wait()
			h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
		}},
		{"the backend is lost", func(h *relaytest.Fixture, c, b *relaytest.Peer) { b.Reset() }},
		{"the engine stops", func(h *relaytest.Fixture, c, b *relaytest.Peer) { h.Stop() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handler := make(chan struct{}) // the one that the client's stream belongs to
				var client, backend *stream
				h := relaytest.NewFixture(t, func(sink core.Sink) relaytest.Engine {
					closed := sink.Closed
					sink.Closed = func(owner any) {
						client.over.Store(true)
						backend.over.Store(true)
						close(owner.(chan struct{}))
						closed(owner)
					}
					return New(sink, clock.New())
				})
				overStreams := func(keep **stream) relaytest.Link {
					return func(t2 testing.TB, side core.Side) (gateway, peer net.Conn) {
						g, p := relaytest.Narrow(t2, side)
						*keep = &stream{conn: wire.Of(g).Conn, t: t}
						return *keep, p
					}
				}
				c, b := h.StartSession(overStreams(&client), overStreams(&backend), core.Session{Owner: handler})
				c.Send(wstest.Text("hello"))
				b.Receive(wstest.Text("hello"))
				tt.end(h, c, b)
				<-handler
				<-time.After(time.Minute) // no timer is left
				if r := h.AwaitReport(); r.Owner != handler {
					t.Errorf("the report is of %v", r.Owner)
				}
			})
		})
	}
}
