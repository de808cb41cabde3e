package forward

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// HTTP/2 resets a stream whose deadline passes, even while nothing is written:
// none may be left while the backend is waited for.
func TestNoDeadlineWhileTheBackendIsWaitedFor(t *testing.T) {
	var deadline time.Time
	set := func(d time.Time) error { deadline = d; return nil }
	p := pace{rate: 500, set: set}
	began := p.begin()
	if deadline.IsZero() {
		t.Error("begin set no deadline")
	}
	if p.end(began, 10); !deadline.IsZero() {
		t.Errorf("end left the deadline %v", deadline)
	}
	body := &requestBody{request: httptest.NewRequest("POST", "/", strings.NewReader("hello")), pace: pace{rate: 500, set: set}}
	if n, err := body.Read(make([]byte, 2)); n != 2 || err != nil || !deadline.IsZero() {
		t.Errorf("Read = %d, %v and left the deadline %v", n, err, deadline)
	}
}

// A backend that takes no more of a body is waited for as long as for its
// answer.
func TestBackendThatDoesNotReadTimesOut(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	g := begin(t, raw(t, func(net.Conn, *bufio.Reader) { <-release }), func(x *Exchange) { x.Response = 200 * time.Millisecond })
	req, err := http.NewRequest("POST", g.URL, io.LimitReader(zeros{}, 256<<20))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := g.Client().Do(req); err == nil {
		res.Body.Close()
	}
	var timeout interface{ Timeout() bool }
	if r := g.result(t); !errors.As(r.Err, &timeout) || !timeout.Timeout() || strings.HasPrefix(r.Err.Error(), "client") {
		t.Errorf("the exchange ended with %v; want a timeout of the backend", r.Err)
	}
}
