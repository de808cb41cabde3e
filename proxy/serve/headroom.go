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
	short, ofShare := x.takeRoom()
	switch {
	case ofShare:
		x.server.overShare.Count(short.String())
		x.refuseForRoom(fmt.Errorf("limit: the process is short of %s for more requests of one address", short))
	case short != 0:
		x.refuseShort(short)
	}
	return short == 0
}

// takeRoom takes the room for the request, or returns what is short. OfShare says that there
// is some, but not for this client.
func (x *exchange) takeRoom() (short limit.Shortage, ofShare bool) {
	s := x.server
	x.headroom = s.headroom.Acquire(x.started, s.engine.Memory())
	if x.headroom.Exhausted != 0 {
		return x.headroom.Exhausted, false
	}
	share := x.headroom.MaxRequests
	if x.origin.Client.IsValid() {
		share = max(share/2, 1)
	}
	switch {
	case s.requests.Add(1) > x.headroom.MaxRequests:
	case !s.clients.Acquire(x.clientKey(), int(min(share, math.MaxInt))):
		ofShare = true
	default:
		x.hasRoom = true
		return 0, false
	}
	s.requests.Add(-1)
	s.headroom.Release(x.headroom)
	return x.headroom.Scarcest, ofShare
}

// giveRoom gives back what takeRoom took. It does nothing if that was done.
func (x *exchange) giveRoom() {
	if !x.hasRoom {
		return
	}
	x.hasRoom = false
	x.server.headroom.Release(x.headroom)
	x.server.requests.Add(-1)
	x.server.clients.Release(x.clientKey())
}

// leave gives back what enter took.
func (x *exchange) leave() {
	x.sendEnd()
	if x.completed && !x.out.Hijacked {
		x.out.FinishStream()
	}
	x.giveRoom()
}

// sendEnd sends the end of an answer over HTTP/2 where many requests are in work.
// Otherwise net/http sends it after the handler and may wait for the client then, while
// the request does not count any more.
func (x *exchange) sendEnd() {
	if x.out.Multiplexed() && !x.out.Hijacked && x.completed && x.server.requests.Load() > x.headroom.MaxRequests/8 {
		x.out.FlushError()
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
	x.limitHit = "process"
	x.selfAnswered, x.shortage = true, true
	x.out.CloseAfter = x.out.CloseAfter || x.out.HasBody() && !x.out.Multiplexed()
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
