package forward

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
)

func TestTrailers(t *testing.T) {
	for _, announce := range []bool{true, false} {
		for _, method := range []string{"POST", "GET"} { // net/http handles the body of a GET differently
			t.Run(fmt.Sprintf("%s announced %v", method, announce), func(t *testing.T) {
				g := startGateway(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if got := r.Trailer["X-Sum"]; string(body) != "body" || err != nil || !slices.Equal(got, []string{"in"}) || len(r.Trailer) != 1 {
						t.Errorf("the backend got %q, %v with trailers %v; want body and X-Sum: in", body, err, r.Trailer)
					}
					if announce {
						w.Header().Set("Trailer", "X-Sum")
						defer w.Header().Set("X-Sum", "out")
					} else {
						defer w.Header().Set(http.TrailerPrefix+"X-Sum", "out")
					}
					io.WriteString(w, "answer")
					http.NewResponseController(w).Flush()
				}))
				head := method + " / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTE: trailers\r\n"
				if announce {
					head += "Trailer: X-Sum\r\n"
				}
				res, body, err := ask(t, g, head+"\r\n4\r\nbody\r\n0\r\nX-Sum: in\r\nCookie: a=b\r\nTraceparent: a\r\ntracestate: a=b\r\nBaggage: a=b\r\n\r\n")
				if err != nil || body != "answer" || !slices.Equal(res.Trailer["X-Sum"], []string{"out"}) {
					t.Errorf("answer = %q, %v with trailers %v; want answer and X-Sum: out", body, err, res.Trailer)
				}
				if r := g.result(t); r.Err != nil || r.In != 4 {
					t.Errorf("result = %+v; want 4 bytes and no error", r)
				}
			})
		}
	}
}
