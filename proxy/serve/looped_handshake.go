package serve

import (
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/internal/h1"
	"sluice/internal/wire"
	"sluice/proxy/backend"
	"sluice/proxy/forward"
	"sluice/proxy/http1"
	"sluice/proxy/relay"
	"sluice/upgrade"
)

// offer is a handshake that an event loop offers to an endpoint.
type offer struct {
	request *upgrade.Request
	key     string // of the offer under way
	seat    *seat
	tryTime time.Duration // of one endpoint; 0 means no limit
	answer  *upgrade.Answer
	over    bool  // it counts no more among the handshakes
	err     error // what the endpoint has failed with
}

// offers is Forward for a handshake.
func (x *exchange) offers() bool {
	s := x.server
	if s.JoinOn == nil || s.Stopping.Err() != nil {
		return false
	}
	path, ok := x.findForwarding(true)
	if !ok || x.service.KeepAlive != wire.DefaultKeepAlive || x.service.UserTimeout > 0 {
		return false
	}
	q, wrong := upgrade.Check(&x.r)
	if wrong != nil || x.service.Policy.Apply(q, x.site()) != nil {
		return false
	}
	if short, _ := x.takeRoom(); short != 0 {
		return false
	}
	s.handshakes.begin()
	o := &offer{request: q}
	x.looped.offer = o
	var refusal *upgrade.Refusal
	if o.seat, refusal = x.takeSeat(); refusal == nil && x.acquire(backend.Sessions) {
		if x.rated() {
			x.startOffer(path)
			return true
		}
		x.looped.lease.Release()
	}
	x.endOffer()
	x.giveRoom()
	x.looped = looped{}
	return false
}

// rated reports whether the client is within its rates.
func (x *exchange) rated() bool {
	if _, ok := x.listener.Requests().Take(x.clientKey(), x.started); !ok {
		return false
	}
	x.counted = true
	_, ok := x.service.Admission.Handshakes.Take(x.clientKey(), x.started)
	return ok
}

// startOffer makes the request an offer to the endpoint that was acquired.
func (x *exchange) startOffer(path string) {
	k := &x.looped
	if !k.lease.Final() {
		k.offer.tryTime = k.target.TryTimeout
	}
	x.record.Route = x.service.Group.Name
	x.noteEndpoint(k.lease)
	x.beginTry(&k.attempts, k.lease)
	x.stickTo(k.lease, k.target, k.attempts.need.Sticky)
	x.prepare(k.offer.request, path)
}

// endOffer gives back what only a handshake has. It does nothing if that was done.
func (x *exchange) endOffer() {
	if o := x.looped.offer; o != nil && !o.over {
		o.over = true
		o.seat.release()
		x.server.handshakes.end()
	}
}

// Upgrades reports whether the request is a handshake.
func (x *exchange) Upgrades() bool { return x.looped.offer != nil }

// AppendSwitch checks the 101 of the endpoint and appends that for the client.
func (x *exchange) AppendSwitch(b []byte, h *h1.Head) (_ []byte, err error) {
	o := x.looped.offer
	if o.answer, err = o.request.Verify(h.Fields, h.Minor, o.key); err != nil {
		return nil, err
	}
	if x.snap.Via {
		forward.AddVia(&o.answer.Header, 1, 1)
	}
	x.editResponseHeader(&o.answer.Header, h.Status)
	return o.request.AppendAccept(b, o.answer), nil
}

// editRefusal makes the head of a refusal that for the client, before the route edits it.
func (x *exchange) editRefusal(h *h1.Head) {
	h.Fields = upgrade.RefusalHeader(h.Fields, h.Status)
	if x.snap.Via {
		forward.AddVia(&h.Fields, 1, 1)
	}
}

// Join hands the session over to the engine, on the loop that has its sockets.
func (x *exchange) Join(loop int, client, backend http1.Socket) {
	k := &x.looped
	k.lease.Report(&k.attempts.tried, k.target.checkStatus(k.offer.answer.Status))
	k.lease.CountSession()
	x.endTry(k.offer.answer.Status, nil)
	s := x.session(k.offer.seat, k.lease, k.offer.answer)
	handOver(&s, x.client.Conn, func() { x.server.JoinOn(loop, s, relay.Socket(client), relay.Socket(backend)) })
	k.offer.seat.take()
	x.giveRoom()
	x.endOffer()
	if draining, _ := k.lease.Draining(); draining || x.server.Stopping.Err() != nil || x.server.Current() != x.snap {
		go x.server.endIfLate(x.number, x.service.Group.Name, k.lease, x.snap, 0) // it waits for the loops
	}
}

// failOffer is Fail for a handshake.
func (x *exchange) failOffer(err error, when http1.Stage) {
	k := &x.looped
	timedOut := errors.Is(err, http1.ErrSlow)
	switch {
	case timedOut && time.Since(x.started) >= x.service.HandshakeTimeout:
		err = errSlow
	case when == http1.Connecting:
		err = k.lease.Dialer().Failure(err)
	case timedOut:
		err = errSlowTry
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the backend closed the connection without an answer to the handshake")
	default:
		err = fmt.Errorf("the answer to the handshake: %w", err)
	}
	if !isUnreachable(err) && err != error(errSlow) {
		err = fmt.Errorf("backend %s: endpoint %s: %w", k.lease.Backend(), k.lease.Endpoint(), err)
	}
	k.offer.err = err
	x.trace.EndTry(x.r.Method, 0, err, when == http1.Connecting || isUnreachable(err))
	if k.lost = err != error(errSlow) && when != http1.Answering && !isOurs(err); k.lost {
		k.lease.Fail(&k.attempts.tried, err)
		return
	}
	if !errors.Is(err, upgrade.ErrIgnored) {
		k.lease.Report(&k.attempts.tried, err)
	}
	k.lease.Release()
}

// goOnOffering is goOn for a handshake.
func (x *exchange) goOnOffering() {
	k := &x.looped
	defer x.endOffer()
	ctx, cancel := x.handshakeContext()
	defer cancel(nil)
	if !k.lost {
		x.failHandshake(ctx, k.offer.err)
		return
	}
	x.offer(ctx, k.offer.request, k.offer.seat, &k.attempts)
}
