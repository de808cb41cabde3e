package serve

import (
	"fmt"
	"math"
	"net/http"

	"sluice/internal/limit"
)

// enter admits the request if the process has room for it, or answers. One client never
// gets all the room. leave gives it back.
func (x *exchange) enter() bool {
	s := x.server
	x.room = s.room.Acquire(x.started, s.engine.Memory())
	if x.room.Exhausted != 0 {
		x.refuseShort(x.room.Exhausted)
		return false
	}
	share := x.room.MaxRequests
	if x.origin.Client.IsValid() {
		share = max(share/2, 1)
	}
	switch {
	case s.requests.Add(1) > x.room.MaxRequests:
		x.refuseShort(x.room.Scarcest)
	case !s.clients.Acquire(x.clientKey(), int(min(share, math.MaxInt))):
		s.overShare.Count(x.room.Scarcest.String())
		x.refuseForRoom(fmt.Errorf("limit: the process is short of %s for more requests of one address", x.room.Scarcest))
	default:
		return true
	}
	s.requests.Add(-1)
	s.room.Release(x.room)
	return false
}

// leave gives back what enter took.
func (x *exchange) leave() {
	x.sendEnd()
	x.server.room.Release(x.room)
	x.server.requests.Add(-1)
	x.server.clients.Release(x.clientKey())
}

// sendEnd sends the end of an answer over HTTP/2 where many requests are in work.
// Otherwise net/http sends it after the handler and may wait for the client then, while
// the request does not count any more.
func (x *exchange) sendEnd() {
	if x.client.Multiplexed() && !x.client.Detached && x.completed && x.server.requests.Load() > x.room.MaxRequests/8 {
		x.client.FlushError()
	}
}

// refuseShort refuses the request because the process is short of something.
func (x *exchange) refuseShort(of limit.Shortage) {
	err := fmt.Errorf("limit: the process is short of %s", of)
	x.server.Shortages.Note(of, err)
	x.refuseForRoom(err)
}

// refuseForRoom answers in the cheapest way: without a body, which a client could leave
// unread, and without waiting for the rest of the request.
func (x *exchange) refuseForRoom(err error) {
	x.record.Error = err.Error()
	x.selfAnswered, x.shortage = true, true
	x.client.CloseAfter = x.client.CloseAfter || x.client.HasBody() && !x.client.Multiplexed()
	h := x.answer.Header()
	h.Set("Retry-After", roomRetryAfter)
	h.Set("Content-Length", "0")
	x.answer.WriteHeader(http.StatusServiceUnavailable)
}

// logOverShare logs that clients had their share of requests.
func (s *Server) logOverShare(what string, since, total uint64) {
	s.Log().Warn().Uint64("requests", since).Uint64("total", total).Msg(
		"requests refused: their address has as many in work as half of the " + what + " allows; the access log has the addresses")
}
