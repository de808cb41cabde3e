//go:build linux && !portable

package epoll

import (
	"errors"
	"io"

	"sluice/internal/record"
	"sluice/proxy/relay/core"
)

// consumeRecords is consume for a side with TLS: buf[:plaintext] is plaintext that came before,
// buf[plaintext:] is ciphertext.
func (l *loopSessions) consumeRecords(h handle, from core.Side, buf []byte, plaintext int) {
	in, err := l.unseal(h, from, buf, plaintext)
	l.consume(h, from, in, false)
	if err == nil {
		return
	}
	h.sockets[from].state |= readEnded
	if h.Until(from) > l.Now() {
		l.ensurePending(h)[from].readErr = err // after what is held
		return
	}
	h.ReadEnded(from, err)
}

// unseal opens the records of a side in place. It keeps the beginning of a record that is
// not complete, and returns the plaintext, which lies at the start of buf. With an error
// nothing more comes from the side: io.EOF is its close_notify.
func (l *loopSessions) unseal(h handle, from core.Side, buf []byte, plaintext int) ([]byte, error) {
	state, ciphers := l.tls.At(h.sockets[from].tlsCell)
	in, opened := buf[plaintext:], false
	for {
		r, err := state.Open(ciphers, in, l.Now())
		switch {
		case err != nil:
			l.CountBadRecord(err)
			l.keepPartialRecord(h, from, nil, true)
			var alert *record.AlertError
			if errors.As(err, &alert) && !alert.Remote {
				l.sendAlert(h, from, alert.Alert)
			}
			return buf[:plaintext], err
		case r.Kind == record.Closed:
			l.keepPartialRecord(h, from, nil, true)
			return buf[:plaintext], io.EOF
		case r.Used == 0:
			l.keepPartialRecord(h, from, in, opened)
			return buf[:plaintext], nil
		}
		plaintext += copy(buf[plaintext:], r.Data)
		in, opened = in[r.Used:], true
	}
}

// keepPartialRecord keeps part, the beginning of a record, until more of it comes. Fresh
// tells that it is another record than the one that was kept, whose buffer it reuses.
func (l *loopSessions) keepPartialRecord(h handle, from core.Side, part []byte, fresh bool) {
	switch {
	case len(part) > 0:
		p := &l.ensurePending(h)[from]
		if fresh || len(p.partialRecord) == 0 {
			p.recordSince = l.Now()
		}
		p.partialRecord = append(p.partialRecord[:0], part...)
	case h.pending != nil:
		h.pending[from].partialRecord = nil
	}
}

// seal returns the records of b for a side. They are good until the next call.
func (l *loopSessions) seal(h handle, to core.Side, b []byte) ([]byte, error) {
	state, ciphers := l.tls.At(h.sockets[to].tlsCell)
	var err error
	l.sealed, err = state.Seal(ciphers, l.sealed[:0], b)
	return l.sealed, err
}

// sendCloseNotify sends the close_notify of a side that has TLS, once.
func (l *loopSessions) sendCloseNotify(h handle, to core.Side) {
	if h.sockets[to].tlsCell >= 0 && !h.WriteBroken(to) {
		l.sendAlert(h, to, record.CloseNotify)
	}
}

// sendAlert sends an alert to a side that has TLS.
func (l *loopSessions) sendAlert(h handle, to core.Side, a record.Alert) {
	state, ciphers := l.tls.At(h.sockets[to].tlsCell)
	l.writing[to] = true
	l.write(h, to, state.Alert(ciphers, l.sealed[:0], a), false)
	l.writing[to] = false
}
