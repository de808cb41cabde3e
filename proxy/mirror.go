package proxy

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"sluice/config"
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

// budget is the bytes that copies of requests, of all routes and
// configurations, take.
type budget struct {
	most int64
	used atomic.Int64
}

func newBudget() *budget {
	return &budget{most: min(maxCopied, debug.SetMemoryLimit(-1)/copiedShare)}
}

// take reports whether n more bytes may be used, and counts them.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) giveBack(n int64) { b.used.Add(-n) }

// mirror sends copies of requests to a backend whose answers nobody sees.
type mirror struct {
	*supply
	share   float64
	maxBody int64
	slots   chan struct{}
}

func newMirror(c *config.Mirror, s *supply) *mirror {
	if s == nil {
		return nil // the backend has a mistake
	}
	return &mirror{supply: s, share: float64(c.Share), maxBody: int64(c.MaxBody), slots: make(chan struct{}, maxCopies)}
}

// copy has the request's body kept while the exchange reads it, and returns
// what sends the copy when the exchange is over: the real one never waits. It
// returns nil for a request that is not copied.
func (m *mirror) copy(x *exchange, path string) (send func()) {
	if m == nil || rand.Float64() >= m.share || x.r.ContentLength > m.maxBody {
		return nil
	}
	select {
	case m.slots <- struct{}{}:
	default:
		return nil
	}
	if !x.g.copied.take(copyCost) {
		<-m.slots
		return nil
	}
	body := &keptBody{ReadCloser: x.r.Body, limit: m.maxBody, budget: x.g.copied}
	whole := x.r.ContentLength == 0
	if !whole {
		x.r.Body = body
	}
	need := x.need(m.supply, backend.Requests)
	return func() {
		kept, all := body.take()
		over := func() {
			x.g.copied.giveBack(copyCost + int64(cap(kept)))
			<-m.slots
		}
		if !whole && !all {
			over()
			return
		}
		r := x.r.Clone(x.g.copies) // the request itself is net/http's again behind the handler
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(kept)), int64(len(kept)), nil
		r.Trailer = nil
		x.g.serving.Go(func() {
			defer over()
			m.send(x, r, path, need)
		})
	}
}

// send sends the copy and drops the answer.
func (m *mirror) send(x *exchange, r *http.Request, path string, need backend.Need) {
	ctx, cancel := context.WithTimeout(r.Context(), x.svc.exchange.Response)
	defer cancel()
	tried := x.tried()
	lease, err := m.pool.Acquire(ctx, need, &tried)
	if err != nil {
		return
	}
	defer lease.Release()
	e := x.svc.exchange // a copy
	e.Backend, e.Path, e.Origin, e.ID = lease, path, &x.origin, x.record.ID
	e.Via, e.Edit = x.s.via, x.edit
	result := e.Do(nobody{make(http.Header)}, r.WithContext(ctx))
	m.judge(lease, &tried, &result)
}

// keptBody is a body of which what was read is kept, up to a limit.
type keptBody struct {
	io.ReadCloser
	limit  int64
	budget *budget // has the capacity of kept

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

// nobody is the client of a copy.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header         { return n.header }
func (n nobody) Write(p []byte) (int, error) { return len(p), nil }
func (n nobody) WriteHeader(int)             {}
