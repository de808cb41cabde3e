package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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

// Run exports spans until ctx ends, and then what is left, for a bounded time.
func (t *Tracer) Run(ctx context.Context) {
	// A request that is under way when ctx ends is not cut: the collector may have its spans already.
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(flushTime, cut) })()
	to := t.destination(t.options())
	defer func() { to.close() }()
	tick := time.NewTicker(batchTime)
	defer tick.Stop()
	var left []span // of an export that was not finished
	for {
		select {
		case <-ctx.Done():
			t.flush(sending, to, left)
			return
		case <-t.changed:
			if o := t.options(); to == nil && o != nil || to != nil && !to.options.same(o) {
				t.flush(sending, to, left)
				to.close()
				to, left = t.destination(o), nil
			}
		case <-tick.C:
			left = t.export(ctx, sending, to, left)
		case <-t.queue.filled:
			left = t.export(ctx, sending, to, left)
		}
	}
}

// export exports the spans that are left and those that wait, but for a rest that may wait for more. A
// collector that does not take a batch is asked again. If ctx ends or the options change meanwhile, the
// batch is returned. A request lasts no longer than the context sending.
func (t *Tracer) export(ctx, sending context.Context, to *destination, left []span) []span {
	for more := true; more; {
		batch := left
		if left = nil; len(batch) == 0 {
			batch, more = t.queue.take()
		}
		if len(batch) == 0 {
			break
		}
		err := to.send(sending, batch)
		for try, pause := 1, firstPause; err != nil && try < mostTries; try, pause = try+1, min(2*pause, longestPause) {
			again, ok := errors.AsType[*retryError](err)
			if !ok {
				break
			}
			t.failed(err)
			if !t.wait(ctx, max(pause, min(again.after, longestPause))) {
				return batch
			}
			err = to.send(sending, batch)
		}
		t.exported(batch, err)
	}
	return nil
}

// wait waits before another try, and reports whether there is to be one now.
func (t *Tracer) wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-t.changed:
		t.noteChange() // for Run
	}
	return false
}

// flush exports the spans that are left and all that wait, each batch once, for a bounded time.
func (t *Tracer) flush(ctx context.Context, to *destination, left []span) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	for batch := left; ; {
		if len(batch) > 0 {
			t.exported(batch, to.send(ctx, batch))
		}
		if batch, _ = t.queue.take(); len(batch) == 0 {
			return
		}
	}
}

// exported counts a batch that was exported, or dropped because of err.
func (t *Tracer) exported(batch []span, err error) {
	rejected := 0
	if partly, ok := errors.AsType[*partialError](err); ok {
		rejected = int(min(partly.rejected, int64(len(batch))))
	} else if err != nil {
		rejected = len(batch)
	}
	t.count(len(batch)-rejected, true)
	t.count(rejected, false)
	if err != nil && err != errOff {
		t.failed(err)
	}
}

// destination is a collector. Nil is none, which takes nothing.
type destination struct {
	options   *Options
	userAgent string
	resource  *resourcepb.Resource
	version   string
	client    http.Client
}

func (t *Tracer) destination(o *Options) *destination {
	if o == nil {
		return nil
	}
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
// not meant for this.
func newTransport(o *Options) http.RoundTripper {
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: o.Authorities}, ForceAttemptHTTP2: true,
		MaxConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
	}
}

func (d *destination) close() {
	if d != nil {
		d.client.CloseIdleConnections()
	}
}

var errOff = errors.New("tracing is off")

// send sends spans once. A *[retryError] says that they may be sent again, a *[partialError] that
// some were refused.
func (d *destination) send(ctx context.Context, spans []span) error {
	if d == nil {
		return errOff
	}
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

// partialError says that the collector has refused some spans of an export.
type partialError struct {
	rejected int64
	message  string
}

func (e *partialError) Error() string {
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
		seconds, _ := strconv.Atoi(r.Header.Get("Retry-After"))
		return &retryError{err, time.Duration(max(seconds, 0)) * time.Second}
	}
	return err
}

// partial reads the partial_success of an ExportTraceServiceResponse, if it has one with spans that
// were refused. What is no such message says nothing.
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
	if e.rejected <= 0 {
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
