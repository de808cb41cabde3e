package operate

import (
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/admin"
	"sluice/internal/telemetry"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
)

// EachSession calls yield with the open sessions that match, until it returns false. No loop waits
// for either function.
func (o *Operator) EachSession(match func(*admin.Session) bool, yield func(*admin.Session) bool) {
	o.each(func(_ relay.View, s *admin.Session) bool { return !match(s) || yield(s) })
}

func (o *Operator) each(yield func(relay.View, *admin.Session) bool) {
	var s admin.Session
	note := telemetry.Session{Exchange: new(telemetry.Exchange)}
	services := o.current().Services
	o.server.Engine().Each(func(v relay.View) bool {
		telemetry.Packed(v.Note).Unpack(&note)
		describe(&s, &v, &note)
		s.Tap = services[v.Group.Name].Tap()
		return yield(v, &s)
	})
}

// describe makes s the session that v is a view of, with what its note says.
func describe(s *admin.Session, v *relay.View, note *telemetry.Session) {
	*s = admin.Session{
		Session: telemetry.SessionNameLike(v.ID, note.ID), RequestID: note.ID, Route: v.Group.Name,
		Host: note.Host, URI: note.URI, Subprotocol: note.Subprotocol, Compression: note.Deflate,
		Opened: v.Opened, Last: v.Last, FromClient: traffic(&v.FromClient), FromBackend: traffic(&v.FromBackend),
	}
	s.Backend, s.Endpoint = serve.EndpointOf(*v)
	if note.Client.IsValid() {
		s.Client = note.Client.String()
	}
	if v.Cause != 0 {
		s.Ending = v.Cause.String()
	}
}

// EndSessions ends the sessions that match and are not ending, evenly over spread,
// and returns their number. The client gets what e says, the backend 1001.
func (o *Operator) EndSessions(match func(*admin.Session) bool, e admin.Ending, spread time.Duration) int {
	ends := make(map[uint64]struct{})
	o.each(func(v relay.View, s *admin.Session) bool {
		if v.Cause == 0 && match(s) {
			ends[v.ID] = struct{}{}
		}
		return true
	})
	if len(ends) == 0 {
		return 0
	}
	how := relay.Ending{Cause: relay.Operator, Code: ws.StatusCode(e.Code), Reason: e.Reason}
	return o.server.Engine().End(func(v relay.View) bool {
		_, ok := ends[v.ID]
		return ok && v.Cause == 0
	}, how, spread)
}

// Ends describes how the last sessions ended, the newest first.
func (o *Operator) Ends() []admin.End {
	var all []admin.End
	for _, e := range o.server.Ends() {
		end := admin.End{
			Time: e.At, Session: telemetry.SessionName(e.Number), RequestID: e.ID, Route: e.Route, Backend: e.Backend, Endpoint: e.Endpoint,
			Host: e.Host, URI: e.URI, Millis: float64(e.Duration.Microseconds()) / 1000,
			ClientMessages: e.FromClient.Messages, ClientBytes: e.FromClient.Bytes, BackendMessages: e.FromBackend.Messages, BackendBytes: e.FromBackend.Bytes,
			Code: int(e.Code), Reason: e.Reason, EndedBy: e.EndedBy, Cause: e.Cause, Detail: e.Detail,
		}
		if e.Client.IsValid() {
			end.Client = e.Client.String()
		}
		all = append(all, end)
	}
	return all
}
