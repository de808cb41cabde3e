package serve

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"sluice/internal/message"
	"sluice/proxy/backend"
)

// maxCopies is how many copies of a route's requests are under way at once;
// more are dropped.
const maxCopies = 64

// Bounds of the memory of all copies together, in bytes: so much, and no more
// than a share of the memory limit.
const (
	maxCopied   = 64 << 20
	copiedShare = 16
	copyCost    = 64 << 10 // of one, besides its body: the head, and buffers on the way
)

// Budget is the memory that the copies of requests take, of all routes and
// configurations.
type Budget struct {
	Most int64 // bytes
	used atomic.Int64
}

func newBudget() *Budget {
	return &Budget{Most: min(maxCopied, debug.SetMemoryLimit(-1)/copiedShare)}
}

// Used returns how many bytes are in use.
func (b *Budget) Used() int64 { return b.used.Load() }

// take takes n bytes if there are so many.
func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.Most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) giveBack(n int64) { b.used.Add(-n) }

// Mirror sends copies of requests to a backend and drops the answers.
type Mirror struct {
	target  *Target
	share   float64 // of the requests
	maxBody int64   // bytes; a request with a larger body is not copied
	slots   chan struct{}
}

// NewMirror returns a mirror to a target.
func NewMirror(t *Target, share float64, maxBody int64) *Mirror {
	return &Mirror{target: t, share: share, maxBody: maxBody, slots: make(chan struct{}, maxCopies)}
}

// copy keeps the request's body while the exchange reads it, and returns what sends the
// copy after the exchange: the real request never waits. It returns nil for a request
// that is not copied, and may be called on nil.
func (m *Mirror) copy(x *exchange, path string) (send func()) {
	if m == nil || rand.Float64() >= m.share || x.r.ContentLength > m.maxBody {
		return nil
	}
	select {
	case m.slots <- struct{}{}:
	default:
		return nil
	}
	budget := x.server.Copies
	if !budget.take(copyCost) {
		<-m.slots
		return nil
	}
	body := &keptBody{ReadCloser: x.r.Body(), limit: m.maxBody, budget: budget}
	whole := x.r.ContentLength == 0
	if !whole {
		x.r.SetBody(body)
	}
	a := x.attempts(m.target, backend.Requests)
	return func() {
		kept, all := body.take()
		release := func() {
			budget.giveBack(copyCost + int64(cap(kept)))
			<-m.slots
		}
		// In a shutdown no copy would be sent.
		if !whole && !all || x.server.Stopping.Err() != nil {
			release()
			return
		}
		r := x.r.Copy(kept)
		x.server.mirrored.begin()
		go func() {
			defer x.server.mirrored.end()
			defer release()
			x.sendCopy(&a, r, path)
		}()
	}
}

// sendCopy sends a copy of the request to one endpoint and drops the answer.
func (x *exchange) sendCopy(a *attempts, r *message.Request, path string) {
	ctx, cancel := context.WithTimeout(x.server.Stopping, x.service.Forward.Response)
	defer cancel()
	r.SetContext(ctx)
	a.once(ctx, func(l *backend.Lease) attemptResult {
		e := x.outgoing(l, path)
		result := e.Do(discardWriter{make(http.Header)}, r)
		return a.target.judge(&result, false)
	})
}

// keptBody is a body of which what was read is kept, up to a limit.
type keptBody struct {
	io.ReadCloser
	limit  int64
	budget *Budget // has the capacity of kept

	mu    sync.Mutex // the transport may read on when the exchange is over
	kept  []byte
	over  bool // no more is kept
	whole bool // read to its end, and all of it is kept
}

func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
	case b.keep(p[:n]):
		b.whole = err == io.EOF
	default:
		b.budget.giveBack(int64(cap(b.kept)))
		b.over, b.kept = true, nil
	}
	return n, err
}

// keep adds p to what is kept, if there is room for it.
func (b *keptBody) keep(p []byte) bool {
	length := int64(len(b.kept) + len(p))
	if length > b.limit {
		return false
	}
	if more := min(2*length, b.limit) - int64(cap(b.kept)); length > int64(cap(b.kept)) {
		if !b.budget.take(more) {
			return false
		}
		grown := make([]byte, len(b.kept), int64(cap(b.kept))+more)
		copy(grown, b.kept)
		b.kept = grown
	}
	b.kept = append(b.kept, p...)
	return true
}

// take returns what was read and whether that is all there was. No more is kept.
// The budget's bytes are the caller's to give back.
func (b *keptBody) take() (kept []byte, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, b.kept, b.over = b.kept, nil, true
	return kept, b.whole
}

// discardWriter is the client of a copy.
type discardWriter struct{ header http.Header }

func (w discardWriter) Header() http.Header         { return w.header }
func (w discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w discardWriter) WriteHeader(int)             {}
