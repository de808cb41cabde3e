package integration

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// gathering is a connection that keeps what is written to it from gather on.
type gathering struct {
	net.Conn
	on   bool
	kept bytes.Buffer
}

func (g *gathering) gather() { g.on = true }

func (g *gathering) Write(b []byte) (int, error) {
	if g.on {
		return g.kept.Write(b)
	}
	return g.Conn.Write(b)
}

// send sends what was kept, without so many bytes at its end, at once.
func (g *gathering) send(without int) {
	g.Conn.SetWriteDeadline(time.Time{}) // crypto/tls ends Writes behind a close_notify
	g.Conn.Write(g.kept.Bytes()[:g.kept.Len()-without])
}

// An endpoint whose TLS ends in the piece that has the end of its answer has answered. One that
// ends inside a record has not.
func TestEndsOfTLSBehindAnswers(t *testing.T) {
	t.Parallel()
	const counted, open = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 200 OK\r\n\r\nhello"
	tests := []struct {
		name   string
		answer func(g *gathering, s *tls.Conn)
		whole  bool
	}{
		{"close_notify, the length is not told", func(g *gathering, s *tls.Conn) {
			g.gather()
			io.WriteString(s, open)
			s.CloseWrite()
			g.send(0)
		}, true},
		{"close_notify, the length is told", func(g *gathering, s *tls.Conn) {
			g.gather()
			io.WriteString(s, counted)
			s.CloseWrite()
			g.send(0)
		}, true},
		{"no record", func(g *gathering, s *tls.Conn) {
			g.gather()
			io.WriteString(s, counted)
			g.kept.WriteString("\x15\x03\x03\x00\x02\x02\x50")
			g.send(0)
		}, true},
		{"a part of a record", func(g *gathering, s *tls.Conn) {
			io.WriteString(s, open)
			g.gather()
			io.WriteString(s, strings.Repeat("x", 100))
			g.send(10)
			g.Conn.Close()
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ca := wstest.NewCA(t)
			config := ca.Server(t, "backend.test")
			again := make(chan struct{}, 10) // a second request on a connection
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						g := &gathering{Conn: c}
						s := tls.Server(g, config)
						in := bufio.NewReader(s)
						if _, err := http.ReadRequest(in); err != nil {
							return
						}
						tt.answer(g, s)
						if _, err := http.ReadRequest(in); err == nil {
							again <- struct{}{}
						}
					}()
				}
			}()
			g := start(t, fmt.Sprintf(`
backends: { b: { endpoints: ["https://%s"], tls: { ca: %q, server_name: backend.test } } }
routes: [{ path: /*, backend: b }]
`, l.Addr(), ca.File))
			p := wstest.Dial(t, g.http)
			in := bufio.NewReader(p)
			for range 2 {
				p.WriteString("GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
				r, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(r.Body)
				if whole := r.StatusCode == http.StatusOK && string(body) == "hello" && err == nil; whole != tt.whole {
					t.Errorf("got %d, %q, %v", r.StatusCode, body, err)
				}
				if r.Close || err != nil {
					break
				}
			}
			if len(again) > 0 && onLoops(g.https) { // net/http may see the end too late
				t.Error("another request was sent behind the end")
			}
		})
	}
}
