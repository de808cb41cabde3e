package proxy

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"

	"sluice/config"
	"sluice/proxy/backend"
)

// maxCopies is how many copies of a route's requests are under way at once;
// more are dropped.
const maxCopies = 64

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
	body := &keptBody{ReadCloser: x.r.Body, limit: m.maxBody}
	whole := x.r.ContentLength == 0
	if !whole {
		x.r.Body = body
	}
	need := x.need(m.supply, backend.Requests)
	return func() {
		kept, all := body.take()
		if !whole && !all {
			<-m.slots
			return
		}
		x.g.serving.Go(func() {
			defer func() { <-m.slots }()
			m.send(x, path, kept, need)
		})
	}
}

// send sends the copy and drops the answer.
func (m *mirror) send(x *exchange, path string, body []byte, need backend.Need) {
	ctx, cancel := context.WithTimeout(x.g.copies, x.svc.exchange.Response)
	defer cancel()
	tried := x.tried()
	lease, err := m.pool.Acquire(ctx, need, &tried)
	if err != nil {
		return
	}
	defer lease.Release()
	r := x.r.Clone(ctx)
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	r.Trailer = nil
	e := x.svc.exchange // a copy
	e.Backend, e.Path, e.Origin, e.ID = lease, path, &x.origin, x.record.ID
	e.Via, e.Edit, e.MinRate = x.s.via, x.edit, 0
	result := e.Do(nobody{make(http.Header)}, r)
	m.judge(lease, &tried, &result)
}

// keptBody is a body of which what was read is kept, up to a limit.
type keptBody struct {
	io.ReadCloser
	limit int64

	mu    sync.Mutex // the transport may read on when the exchange is over
	kept  []byte
	over  bool // more came than is kept
	whole bool // read to its end, and all of it is kept
}

func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if int64(len(b.kept)+n) > b.limit {
		b.over, b.kept = true, nil
	}
	if !b.over {
		b.kept = append(b.kept, p[:n]...)
		b.whole = err == io.EOF
	}
	return n, err
}

// take returns what was read and whether that is all there was. No more is kept.
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
