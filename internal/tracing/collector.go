package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// destination is a collector.
type destination struct {
	options   *Options
	userAgent string
	resource  *resourcepb.Resource
	version   string
	client    http.Client
}

func (t *Tracer) destination(o *Options) *destination {
	resource := attributes{{key: "service.name", text: o.Service}}
	resource.text("service.version", t.env.Version)
	if host, err := os.Hostname(); err == nil {
		resource.text("host.name", host)
	}
	return &destination{
		options: o, version: t.env.Version, userAgent: "sluice/" + t.env.Version, resource: &resourcepb.Resource{Attributes: encodeAttributes(resource)},
		client: http.Client{
			Transport: t.dial(o),
			// Another place must not get the headers.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       requestTime,
		},
	}
}

// newTransport returns what asks a collector. It has no Proxy: what the environment says about proxies is
// not meant for this. A dial outlives the request that began it, and has the only connection: it needs a
// bound of its own.
func newTransport(o *Options) http.RoundTripper {
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: o.Authorities}, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{Timeout: dialTime}).DialContext, TLSHandshakeTimeout: dialTime,
		MaxConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
	}
}

// close closes the connection, if no request needs it. It may be called on nil.
func (d *destination) close() {
	if d != nil {
		d.client.CloseIdleConnections()
	}
}

// send sends spans once. A *[retryError] says that they may be sent again, a *[partialError] that
// some were refused.
func (d *destination) send(ctx context.Context, spans []span) error {
	body, err := proto.Marshal(d.encode(spans))
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.options.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range d.options.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", d.userAgent)
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	resp, err := d.client.Do(r)
	if err != nil {
		d.close() // the next request begins anew, also where a dial hangs
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err // the URL is in the configuration
		}
		return &retryError{err: err}
	}
	defer resp.Body.Close()
	return answered(resp)
}

// encode returns the message of an export (opentelemetry-proto, ExportTraceServiceRequest). TracesData is
// the same on the wire; the package of the other one brings gRPC along.
func (d *destination) encode(spans []span) *tracepb.TracesData {
	encoded := make([]*tracepb.Span, len(spans))
	for i := range spans {
		encoded[i] = spans[i].encode()
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: d.resource, SchemaUrl: schema,
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: "sluice", Version: d.version}, SchemaUrl: schema, Spans: encoded,
		}},
	}}}
}

// retryError is a failure after which the same may be sent again.
type retryError struct {
	err   error
	after time.Duration // that the collector asks for; 0 for none
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// partialError says that the collector has refused some spans of an export or, with none, that it has
// taken them and warns (OTLP, section "Partial Success").
type partialError struct {
	rejected int64
	message  string
}

func (e *partialError) Error() string {
	if e.rejected <= 0 {
		return fmt.Sprintf("the collector warns: %.200q", e.message)
	}
	return fmt.Sprintf("the collector has refused %d spans of an export: %.200q", e.rejected, e.message)
}

// answered returns what the answer of a collector says (OTLP, section "OTLP/HTTP Response").
func answered(r *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	switch {
	case r.StatusCode/100 == 2 && err == nil:
		return partial(body)
	case r.StatusCode/100 == 2:
		return nil // it has them
	}
	err = fmt.Errorf("the collector answers with status %d", r.StatusCode)
	switch r.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &retryError{err, retryAfter(r.Header.Get("Retry-After"))}
	}
	return err
}

// retryAfter returns how long to wait, as a Retry-After says it (RFC 9110, section 10.2.3): in seconds or
// as a date. It is 0 or less if it does not say.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return time.Until(date)
	}
	return 0
}

// partial reads the partial_success of an ExportTraceServiceResponse, if it has one that says something.
// What is no such message says nothing.
func partial(body []byte) error {
	var e partialError
	fields(body, func(number protowire.Number, success []byte, _ uint64) {
		if number == 1 {
			fields(success, func(number protowire.Number, text []byte, n uint64) {
				switch number {
				case 1:
					e.rejected = int64(n)
				case 2:
					e.message = string(text)
				}
			})
		}
	})
	if e.rejected <= 0 && e.message == "" {
		return nil
	}
	return &e
}

// fields calls yield with the fields of a message that are numbers or have a length, up to the first
// mistake.
func fields(message []byte, yield func(number protowire.Number, content []byte, n uint64)) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return
		}
		switch kind {
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(message)
			yield(number, nil, v)
		case protowire.BytesType:
			b, _ := protowire.ConsumeBytes(message)
			yield(number, b, 0)
		}
		message = message[n:]
	}
}
