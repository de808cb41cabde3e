package tracing

import (
	"net"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sluice/internal/telemetry"
)

// schema is the version of the semantic conventions that the names of attributes follow.
const schema = "https://opentelemetry.io/schemas/1.37.0"

// A span is one that has ended, as it waits for its export: what makes it is done by the exporter.
type span struct {
	at         telemetry.Trace
	parent     [8]byte         // zero for none
	link       telemetry.Trace // another span that it belongs to; zero for none
	state      string          // tracestate
	name       string
	kind       tracepb.Span_SpanKind
	began      time.Time
	ended      time.Time
	attributes []attribute
	failed     bool
	message    string // why it has failed; may be empty
}

// attribute is a text, a number or yes or no by its name.
type attribute struct {
	key, text string
	number    int64 // 1 for yes
	kind      kind
}

// kind is what an attribute has.
type kind uint8

const (
	textKind kind = iota
	numberKind
	flagKind
)

// attributes is a list under construction. Those that say nothing are left out.
type attributes []attribute

func (a *attributes) text(key, value string) {
	if value != "" {
		*a = append(*a, attribute{key: key, text: value})
	}
}

func (a *attributes) number(key string, value int64) {
	*a = append(*a, attribute{key: key, number: value, kind: numberKind})
}

func (a *attributes) flag(key string, value bool) {
	f := attribute{key: key, kind: flagKind}
	if value {
		f.number = 1
	}
	*a = append(*a, f)
}

// fit places s on the time line of the request that it is below. A clock that was set meanwhile changes
// nothing about the order of spans, and none ends after its parent.
func (s *span) fit(parent *span) {
	s.began = parent.began.Add(s.began.Sub(parent.began))
	s.ended = parent.began.Add(s.ended.Sub(parent.began))
	if s.ended.After(parent.ended) {
		s.ended = parent.ended
	}
	if s.began.After(s.ended) {
		s.began = s.ended
	}
}

// server adds the address that a request was sent to: a host, which may have a port, or the path of a
// socket.
func (a *attributes) server(address string) {
	if strings.HasPrefix(address, "/") {
		a.text("server.address", address)
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	a.text("server.address", host)
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		a.number("server.port", int64(n))
	}
}

// encode returns s as OTLP has it.
func (s *span) encode() *tracepb.Span {
	e := &tracepb.Span{
		TraceId: s.at.ID[:], SpanId: s.at.Span[:], TraceState: s.state, Name: valid(s.name), Kind: s.kind,
		StartTimeUnixNano: uint64(s.began.UnixNano()), EndTimeUnixNano: uint64(s.ended.UnixNano()),
		Attributes: encodeAttributes(s.attributes), Flags: sampledFlag,
	}
	if s.parent != [8]byte{} {
		e.ParentSpanId = s.parent[:]
	}
	if !s.link.IsZero() {
		e.Links = []*tracepb.Span_Link{{TraceId: s.link.ID[:], SpanId: s.link.Span[:], Flags: sampledFlag}}
	}
	if s.failed {
		e.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: valid(s.message)}
	}
	return e
}

func encodeAttributes(all []attribute) []*commonpb.KeyValue {
	encoded := make([]*commonpb.KeyValue, len(all))
	for i, a := range all {
		v := &commonpb.AnyValue{}
		switch a.kind {
		case textKind:
			v.Value = &commonpb.AnyValue_StringValue{StringValue: valid(a.text)}
		case numberKind:
			v.Value = &commonpb.AnyValue_IntValue{IntValue: a.number}
		case flagKind:
			v.Value = &commonpb.AnyValue_BoolValue{BoolValue: a.number == 1}
		}
		encoded[i] = &commonpb.KeyValue{Key: a.key, Value: v}
	}
	return encoded
}

// valid returns s as protobuf takes texts, which are UTF-8: what clients send need not be.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
