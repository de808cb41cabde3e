package core

import (
	"net"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
	"sluice/internal/frame"
	"sluice/internal/record"
	"sluice/internal/wire"
)

// A Session is what an engine takes over: two open connections after the handshake.
// From Join on the engine owns both connections and closes them.
//
// A connection need not be a socket: it may be a stream of another connection. What
// carries the stream must then stay until [Sink.Closed] is called with the session's
// Owner.
type Session struct {
	ID    uint64
	Group *Group
	Owner any // of the caller; every View has it, and Sink.Closed

	// Note is who, what and where, for logs and lists. Every View has it. The loops keep
	// up to 47 bytes of it without an allocation.
	Note string

	Client, Backend wire.Side
	Deflate         bool          // permessage-deflate was negotiated (RFC 7692)
	BadGateway      ws.StatusCode // what the client gets when the backend is lost; 0 means 1014
}

// A Socket is a connected socket that an event loop has in its epoll set, and what was read
// from it and not used.
type Socket struct {
	FD     int32
	Early  []byte        // in plain
	Unread []byte        // as it came: with TLS, the beginning of a record
	State  *record.State // of TLS; nil without. It is the receiver's
}

// A View is the state of a session at one moment.
type View struct {
	ID                      uint64
	Group                   *Group
	Owner                   any
	Note                    string
	Opened, Last            time.Time // Last is the time of the last data frame
	FromClient, FromBackend frame.Counts

	Cause Cause         // 0 while the session is open
	By    Side          // the side that Cause is about
	Code  ws.StatusCode // of the Close frame that tells the cause; 1005 when that has none

	Planned Cause // of the end that is planned; 0 while none is
}

// A Report is how a session ended.
type Report struct {
	View
	Duration time.Duration // until the last Close frame
	Reason   string        // of the Close frame of Code
	Detail   string        // for the operator; may be empty
}

// A Sink hears of the end of every session. Its functions must not block. They may call
// Join, but nothing that waits for a loop: the loop may be the caller.
type Sink struct {
	// Ended is called once for a session, when no more bytes are relayed.
	Ended func(Report)

	// Closed is called once for a session, after Ended, when both connections are
	// closed and the engine calls no method of them any more. If a connection is a
	// stream of another one, what carries it may end now.
	Closed func(owner any)

	// Gone is called once for a session that another process has now, in place of Ended. Closed
	// follows.
	Gone func(View)

	// Panicked is called for each panic in a step of a session, with the stack. The session
	// ends, alone, with the cause Internal. It must not call the engine, whose locks may be
	// held.
	Panicked func(v View, cause any, stack []byte)

	// Stayed is called when crypto/tls keeps the TLS records of a new session,
	// although a connection of it captures (wire.Conn.StartCapture). The reason is one
	// of few sentences.
	Stayed func(why string)
}

// Capturing reports whether a connection of the session captures (wire.Conn.StartCapture),
// so that an engine can take its TLS records over.
func (s *Session) Capturing() bool {
	for _, c := range [...]net.Conn{s.Client.Conn, s.Backend.Conn} {
		if w := wire.Of(c); w != nil && w.Capturing() {
			return true
		}
	}
	return false
}

// DropCapture makes the connections drop what they have captured: crypto/tls keeps their
// records.
func (s *Session) DropCapture() {
	for _, c := range [...]net.Conn{s.Client.Conn, s.Backend.Conn} {
		if w := wire.Of(c); w != nil {
			w.DropCapture()
		}
	}
}

// View returns the state of the session at this moment, with its owner and its note.
func (c Core) View(owner any, note string, by clock.Clock) View {
	return View{
		ID: c.id, Group: c.part.Group, Owner: owner, Note: note, Opened: by.Time(c.opened), Last: by.Time(c.lastData()),
		FromClient: c.sides[Client].dir.Counts, FromBackend: c.sides[Backend].dir.Counts,
		Cause: c.cause, By: c.by, Code: c.code, Planned: c.planned,
	}
}

// Finish marks the session as finished, takes it off its group's count, and returns the
// report. It is called once, when the session is [Core.Over] or nothing is
// waited for any more.
func (c Core) Finish(owner any, note string, by clock.Clock, now int64) Report {
	c.finished = true
	c.part.open.Add(-1)
	o := c.ensureOutcome()
	c.endTap()
	return Report{
		View: c.View(owner, note, by), Duration: time.Duration(now - c.opened), Reason: o.reason, Detail: o.detail,
	}
}
