package tracing

import (
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sluice/internal/telemetry"
)

// Ended exports the span of a session that has ended now, in a trace of its own that links to the
// handshake. It may be called on nil.
func (t *Tracer) Ended(s *telemetry.Session) {
	if !s.Trace.Sampled || t.options() == nil {
		return
	}
	now := time.Now()
	a := make(attributes, 0, 24)
	a.text("sluice.session", telemetry.SessionName(s.Number))
	a.text("sluice.route", s.Route)
	a.text("sluice.backend", s.Backend)
	a.text("sluice.endpoint", s.Endpoint)
	a.text("sluice.request_id", s.ID)
	if s.Client.IsValid() {
		a.text("client.address", s.Client.String())
	}
	a.text("sluice.session.subprotocol", telemetry.Word(s.Subprotocol))
	a.number("sluice.session.duration_ms", s.Duration.Milliseconds())
	for _, from := range [...]struct {
		side                             string
		messages, frames, controls, size uint64
	}{
		{"client", s.FromClient.Messages, s.FromClient.Frames, s.FromClient.Controls, s.FromClient.Bytes},
		{"backend", s.FromBackend.Messages, s.FromBackend.Frames, s.FromBackend.Controls, s.FromBackend.Bytes},
	} {
		a.number("sluice.session."+from.side+".messages", int64(from.messages))
		a.number("sluice.session."+from.side+".frames", int64(from.frames))
		a.number("sluice.session."+from.side+".controls", int64(from.controls))
		a.number("sluice.session."+from.side+".bytes", int64(from.size))
	}
	a.number("sluice.session.close_code", int64(s.Code))
	a.text("sluice.session.close_reason", s.Reason)
	a.text("sluice.session.ended_by", s.EndedBy)
	a.text("sluice.session.cause", s.Cause)
	a.text("sluice.session.detail", telemetry.Word(s.Detail))
	t.put([]span{{
		at: telemetry.Trace{ID: newTraceID(), Span: newSpanID(), Sampled: true}, link: s.Trace,
		name: strings.TrimSpace("session " + telemetry.Word(s.Route)), kind: tracepb.Span_SPAN_KIND_INTERNAL,
		began: now, ended: now, attributes: a,
	}})
}
