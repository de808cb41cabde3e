//go:build linux && !portable && !race

package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"

	"sluice/internal/wstest"
)

// A speaker is one end of a connection: it says the same again and again, and hears what ends in the
// same way, without any allocation.
type speaker struct {
	net.Conn
	says  [][]byte // each is written by itself
	hears string   // the end of what the other side says
	in    []byte
}

func (s *speaker) say() error {
	for _, piece := range s.says {
		if _, err := s.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

func (s *speaker) hear() error {
	for kept := 0; ; {
		n, err := s.Read(s.in[kept:])
		if err != nil {
			return err
		}
		in := s.in[:kept+n]
		if bytes.HasSuffix(in, []byte(s.hears)) {
			return nil
		}
		kept = copy(s.in, in[max(len(in)-len(s.hears), 0):])
	}
}

// chunks returns a message with a body of n chunks.
func chunks(head string, n int) [][]byte {
	return slices.Concat([][]byte{[]byte(head + "Transfer-Encoding: chunked\r\n\r\n")}, slices.Repeat([][]byte{[]byte("a\r\n0123456789\r\n")}, n), [][]byte{[]byte("0\r\n\r\n")})
}

// The chunks of a body cost no objects, whichever way it goes.
func TestChunksAllocateNothing(t *testing.T) {
	const few, many = 10, 1000
	const end, endOfChunks = "\r\n\r\n", "\r\n0\r\n\r\n"
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	for scheme, section := range map[string]string{"http": "{}", "https": fmt.Sprintf("{certificates: [{cert: %q, key: %q}]}", cert, key)} {
		for _, way := range []struct {
			name            string
			client, backend func(chunks int) *speaker
		}{
			{"request", func(n int) *speaker {
				return &speaker{says: chunks("POST / HTTP/1.1\r\nHost: gateway.test\r\n", n), hears: end}
			}, func(int) *speaker {
				return &speaker{says: [][]byte{[]byte("HTTP/1.1 204 No Content\r\n\r\n")}, hears: endOfChunks}
			}},
			{"answer", func(int) *speaker {
				return &speaker{says: [][]byte{[]byte("GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")}, hears: endOfChunks}
			}, func(n int) *speaker {
				return &speaker{says: chunks("HTTP/1.1 200 OK\r\n", n), hears: end}
			}},
		} {
			t.Run(scheme+"/"+way.name, func(t *testing.T) {
				cost := func(n int) float64 {
					address := startForwarding(t, "loops", section, func(c net.Conn) {
						defer c.Close()
						s := way.backend(n)
						s.Conn, s.in = c, make([]byte, 64<<10)
						for s.hear() == nil && s.say() == nil {
						}
					})
					c, err := net.Dial("tcp", address)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					s := way.client(n)
					s.Conn, s.in = c, make([]byte, 64<<10)
					if scheme == "https" {
						s.Conn = tls.Client(c, ca.Client("gateway.test"))
					}
					return testing.AllocsPerRun(100, func() {
						if err := s.say(); err != nil {
							t.Fatal(err)
						}
						if err := s.hear(); err != nil {
							t.Fatal(err)
						}
					})
				}
				if a, b := cost(few), cost(many); b > a+few { // a read may end in the middle of a size line, which is kept
					t.Errorf("%d chunks cost %v objects, %d cost %v; want no more", few, a, many, b)
				}
			})
		}
	}
}
