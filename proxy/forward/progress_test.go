package forward

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A backend that takes no more of a body has as much time as for its answer.
func TestABackendThatDoesNotReadTimesOut(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	g := startGateway(t, serveRaw(t, func(net.Conn, *bufio.Reader) { <-release }), func(x *Exchange) { x.Response = 200 * time.Millisecond })
	req, err := http.NewRequest("POST", g.URL, io.LimitReader(zeros{}, 256<<20))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := g.Client().Do(req); err == nil {
		res.Body.Close()
	}
	var timeout interface{ Timeout() bool }
	if r := g.result(t); !errors.As(r.Err, &timeout) || !timeout.Timeout() || strings.HasPrefix(r.Err.Error(), "client") {
		t.Errorf("result = %v; want a timeout of the backend", r.Err)
	}
}
