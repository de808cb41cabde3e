package serve

import (
	"errors"
	"strings"
	"time"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/proxy/backend"
	"sluice/proxy/backend/dial"
	"sluice/proxy/forward"
	"sluice/proxy/http1"
	"sluice/route"
	"sluice/upgrade"
)

// looped is what an exchange has while an event loop forwards its request. Nothing there
// waits: what would have to is done by Serve, on a goroutine. Where an endpoint fails before
// it has answered, Serve goes on with the next one, or answers.
type looped struct {
	target   *Target
	attempts attempts
	lease    *backend.Lease
	request  backend.Lease // the memory of lease, unless that becomes a session's
	out      forward.Exchange
	failed   bool // the request has its room, and has passed the stages
	result   forward.Result
	lost     bool // an endpoint may be asked again
	offer    *offer
}

// Forward reports whether an event loop can forward the request by itself. Then it has an
// endpoint, and the loop has to call Done, Fail or Abandon. Otherwise nothing has happened.
func (x *exchange) Forward() bool {
	r := &x.r
	if !r.ProtoAtLeast(1, 1) || !x.passesStages() {
		return false
	}
	forwards := x.asks
	if upgrade.Wanted(r) {
		forwards = x.offers
	}
	if !forwards() {
		x.service, x.rest, x.parts = nil, "", route.Variables{} // a request is refused before it has a route
		x.limitHit = ""                                         // a goroutine asks again
		return false
	}
	return true
}

// asks is Forward for a request that is no handshake.
func (x *exchange) asks() bool {
	path, ok := x.findForwarding(false)
	if most := x.MaxBody(); !ok || most > 0 && x.r.ContentLength > most {
		return false
	}
	if short, _ := x.takeRoom(); short != 0 {
		return false
	}
	if x.acquire(backend.Requests) {
		if _, ok := x.listener.Requests().Take(x.clientKey(), x.started); ok {
			x.startAsking(path)
			return true
		}
		x.looped.lease.Release()
	}
	x.giveRoom()
	x.looped = looped{}
	return false
}

// passesStages reports whether the request passes the stages that answer nothing then.
func (x *exchange) passesStages() bool {
	r := &x.r
	if _, wrong := forward.Screen(r, x.settings.MaxHeader); wrong != "" || r.RequestURI == "*" || x.misdirected() {
		return false
	}
	return (x.snap.Store == nil || !strings.HasPrefix(r.Path, "/.well-known/")) && (!x.settings.RedirectHTTPS || x.overTLS())
}

// findForwarding finds the route, and returns the path for its backend. It is false unless
// all that the route does is to forward.
func (x *exchange) findForwarding(websocket bool) (path string, ok bool) {
	var err error
	if x.matched, _, err = RouteRequest(&x.r, websocket); err != nil {
		return "", false
	}
	m, miss := x.snap.Routes.Match(&x.matched)
	if miss != 0 || len(m.Value.Targets) != 1 {
		return "", false
	}
	if !websocket && (m.Value.Compress != nil || m.Value.CORS != nil || m.Value.Mirror != nil || x.r.Header.Has(header.MaxForwards)) {
		return "", false
	}
	x.service, x.rest, x.parts = m.Value, m.Rest, m.Variables
	return x.rewritten(), true
}

// startAsking makes the request one for the endpoint that was acquired.
func (x *exchange) startAsking(path string) {
	t, a, lease := x.looped.target, &x.looped.attempts, x.looped.lease
	x.record.Route = x.service.Group.Name
	x.noteEndpoint(lease)
	x.beginTry(a, lease)
	x.looped.out = x.outgoing(lease, path)
	if isRepeatable(&x.r) && t.TryTimeout > 0 && !lease.Final() {
		x.looped.out.Response = min(x.looped.out.Response, t.TryTimeout)
	}
	x.stickTo(lease, t, a.need.Sticky)
}

// acquire takes an endpoint that the loop can connect to.
func (x *exchange) acquire(k backend.Kind) bool {
	t := x.service.Targets[0].Target
	x.looped.attempts = x.attempts(t, k)
	a := &x.looped.attempts
	lease := &x.looped.request
	if k == backend.Sessions {
		lease = new(backend.Lease)
	}
	if !t.Pool.TryAcquire(lease, a.need, &a.tried) {
		return false
	}
	if d := lease.Dialer(); !d.OnLoops() || k == backend.Sessions && d.Spec().Streams {
		lease.Release()
		return false
	}
	x.looped.target, x.looped.lease = t, lease
	return true
}

// Connected notes that a connection to the endpoint was opened for the request.
func (x *exchange) Connected() { x.trace.Connected() }

// Dialer returns what stands for the endpoint.
func (x *exchange) Dialer() *dial.Dialer { return x.looped.lease.Dialer() }

// Timeouts returns how long the endpoint may take.
func (x *exchange) Timeouts() http1.Timeouts {
	if o := x.looped.offer; o != nil {
		return http1.Timeouts{Total: x.service.HandshakeTimeout, Response: o.tryTime, Silence: upgrade.MaxRefusalTime}
	}
	return http1.Timeouts{Response: x.looped.out.Response, Silence: x.looped.out.Silence}
}

// MinRate returns how many bytes a second the client must take at least. 0 means any.
func (x *exchange) MinRate() float64 { return x.service.MinRate }

// AppendHead appends the head of the request for the endpoint. Scratch is memory to use.
func (x *exchange) AppendHead(b []byte, scratch *header.Fields) []byte {
	if o := x.looped.offer; o != nil {
		o.key = upgrade.NewKey()
		return o.request.AppendOffer(b, o.key)
	}
	return x.looped.out.AppendHead(b, &x.r, scratch)
}

// MaxBody returns how many bytes the request's body may have; 0 means any number.
func (x *exchange) MaxBody() int64 {
	if x.service == nil {
		return 0
	}
	return x.service.Forward.MaxBody
}

// Repeatable reports whether the request may be sent twice.
func (x *exchange) Repeatable() bool { return isRepeatable(&x.r) }

// EditRequestTrailer makes the trailer section of the request that for the endpoint.
func (x *exchange) EditRequestTrailer(h *header.Fields) { x.looped.out.EditRequestTrailer(h) }

// Method returns the method of the request.
func (x *exchange) Method() string { return x.r.Method }

// EditAnswer makes the head of an answer that for the client.
func (x *exchange) EditAnswer(h *h1.Head) {
	if x.looped.offer == nil {
		x.looped.out.EditAnswer(&h.Fields, h.Minor)
	} else {
		x.editRefusal(h)
	}
	names := x.editResponseHeader(&h.Fields, h.Status)
	if !h.Fields.Has(header.Date) && !names.Has("Date") {
		h.Fields.Add(header.Date, x.server.date.now())
	}
}

// EditInformational makes the fields of an informational answer those for the client.
func (x *exchange) EditInformational(h *header.Fields) { x.looped.out.EditInformational(h) }

// EditTrailer makes the trailer section of the answer that for the client.
func (x *exchange) EditTrailer(h *header.Fields) { x.looped.out.EditTrailer(h) }

// Done ends the exchange: the answer has been sent, or was cut.
func (x *exchange) Done(r http1.Result) {
	result := forward.Result{Status: r.Status, In: r.In, Out: r.Out}
	if r.Err != nil {
		failed := &forward.Error{Client: r.ByClient, Stage: "reading the answer", Err: r.Err}
		switch {
		case r.ByClient:
			failed.Stage = "writing the answer"
		case errors.Is(r.Err, http1.ErrSilent):
			failed.Err = forward.Silent(x.looped.out.Silence)
		}
		result.Err = failed
		x.record.Error = result.Err.Error()
	}
	x.endTry(result.Status, result.Err)
	x.finish(&result)
	x.recycle()
}

var errClientLeft = errors.New("the client went away")

// Abandon ends the exchange: the client has left before it was answered.
func (x *exchange) Abandon() {
	err := &forward.Error{Client: true, Stage: "waiting for the answer", Err: errClientLeft}
	x.record.Error = err.Error()
	status := 0
	if o := x.looped.offer; o != nil && o.answer != nil {
		status = o.answer.Status
	}
	x.endTry(status, err)
	x.finish(&forward.Result{Status: statusClientGone, Err: err})
	x.recycle()
}

// Abort gives back what the exchange has, after a panic.
func (x *exchange) Abort() {
	if x.hasRoom { // it has become no session
		x.record.Status, x.record.Duration, x.selfAnswered = 0, time.Since(x.started), true
		x.count()
		x.endTrace()
	}
	if x.looped.lease != nil {
		x.looped.lease.Release()
	}
	x.endOffer()
	x.giveRoom()
}

// finish tells the pool of the result, gives back what the request has, and logs it.
func (x *exchange) finish(result *forward.Result) {
	k := &x.looped
	if r := k.target.judge(result, false); r.status == served || r.status == failed {
		k.lease.Report(&k.attempts.tried, r.err)
	}
	k.lease.Release()
	x.endOffer()
	x.giveRoom()
	x.record.Status, x.record.In, x.record.Out = result.Status, result.In, result.Out
	x.log()
}

// Fail notes that the endpoint has failed before it answered. Serve has to be called next.
func (x *exchange) Fail(err error, when http1.Stage, in int64) {
	k := &x.looped
	k.failed = true
	x.record.In = in
	if errors.Is(err, dial.ErrUnsuited) { // it is asked in the other way
		k.lost = true
		k.lease.Release()
		x.trace.DropTry()
		return
	}
	if k.offer != nil {
		x.failOffer(err, when)
		return
	}
	wrong := &forward.Error{Stage: "sending the request", Err: err}
	switch {
	case when == http1.Connecting:
		wrong.Err = k.lease.Dialer().Failure(err)
	case when == http1.Receiving:
		wrong.Client, wrong.Stage = true, "reading the request's body"
		if errors.Is(err, http1.ErrTooLarge) {
			wrong.Err = forward.ErrTooLarge
		}
	case errors.Is(err, http1.ErrSlow):
		wrong.Stage, wrong.Err = "waiting for the answer", forward.SlowAnswer(k.out.Response)
	}
	k.result = forward.Result{In: in, Err: wrong}
	x.endTry(0, wrong)
	r := k.target.judge(&k.result, isRepeatable(&x.r))
	if k.lost = r.status == lost; k.lost {
		k.lease.Fail(&k.attempts.tried, r.err)
		return
	}
	if r.status == failed {
		k.lease.Report(&k.attempts.tried, r.err)
	}
	k.lease.Release()
}

// goOn is what run does after Fail.
func (x *exchange) goOn() {
	k := &x.looped
	if k.offer != nil {
		x.goOnOffering()
		return
	}
	x.out.SetRate(x.service.MinRate)
	if k.lost {
		x.forwardTo(k.target, &k.attempts, k.out.Path)
		return
	}
	x.failForwarded(&k.result)
}
