//go:build unix

package integration

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// What an endpoint sends beside the answer to its request is never the answer to the next one. It is
// counted: one side has lost count there.
func TestSurplusAnswersAreCounted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || portable() {
		t.Skip("there are no loops, and net/http counts nothing")
	}
	const first, second = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
	for _, scheme := range []string{"http", "https"} {
		if scheme == "https" && tlsRecords() == "go" {
			continue // net/http asks endpoints over TLS then
		}
		for _, later := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, later: %t", scheme, later), func(t *testing.T) {
				t.Parallel()
				more := make(chan struct{})
				behave := func(c *wstest.Conn) {
					if !later {
						_, _ = io.WriteString(c, first+second)
					} else if _, err := io.WriteString(c, first); err == nil {
						<-more
						_, _ = io.WriteString(c, second)
					}
					_, _ = io.Copy(io.Discard, c)
				}
				var secure *tls.Config
				trust := ""
				if scheme == "https" {
					secure, trust = wstest.NewCA(t).Server(t, "app.test"), ", tls: { insecure: true }"
				}
				b := wstest.NewTLSBackend(t, behave, secure)
				g := start(t, fmt.Sprintf(`
http: { engine: loops }
backends: { app: { endpoints: "%s://%s"%s } }
routes: [{ backend: app }]
`, scheme, b.Address, trust))
				c := wstest.Dial(t, g.http)
				for n := range 3 {
					request := "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
					c.WriteString(request)
					if r, body := c.Answer(request); r.StatusCode != http.StatusOK || body != "first" {
						t.Fatalf("the answer is %s, %q; want the first one of a connection", r.Status, body)
					}
					if later {
						more <- struct{}{}
					}
					eventually(t, "a surplus answer is counted", func() bool {
						sum := 0.0
						for series, value := range scrapeFrom(t, g.operators("unix")).values {
							if strings.HasPrefix(series, `sluice_endpoint_surplus_answers_total{backend="app"`) {
								sum += value
							}
						}
						return sum == float64(n+1)
					})
				}
			})
		}
	}
}

// A TLS record that is not authentic ends its connection with bad_record_mac, and is counted.
func TestRecordsThatAreNotAuthenticAreCounted(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf("routes: [{ path: /ws, backend: %s }, { respond: 200 }]", wstest.NewBackend(t, wstest.Accepting(wstest.Echo)).Address))
	if !onLoops(g.https) {
		t.Skip("crypto/tls has the records, and counts nothing")
	}
	request := "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
	kept, session := wstest.Dial(t, g.https), wstest.Open(t, g.https, wstest.Handshake("/ws"))
	kept.WriteString(request)
	kept.Answer(request)
	for i, c := range []wstest.Peer{kept, session} {
		if _, err := c.Conn.Conn.(*tls.Conn).NetConn().Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("the connection ends with %v; want the alert bad_record_mac", err)
		}
		if n := scrapeFrom(t, g.operators("unix")).values["sluice_tls_bad_records_total"]; n != float64(i+1) {
			t.Errorf("%v bad records are counted; want %d", n, i+1)
		}
	}
}
