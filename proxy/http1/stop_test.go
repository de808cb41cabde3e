//go:build linux && !portable

package http1

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
	"sluice/internal/h1"
	"sluice/internal/loop"
	"sluice/internal/message"
	"sluice/internal/record"
	"sluice/internal/wire"
	"sluice/proxy/clientio"
)

// move moves idle connections of one server to another, written down and read as between two processes. Some stay.
func move(t *testing.T, r *rand.Rand, from, to *Server) (moved int) {
	t.Helper()
	from.engine.OfferAgain()
	for {
		var states [][]byte
		var sockets []int
		stopped := from.engine.StopIdle(func(o Offer) (taken, more bool) {
			if r.IntN(8) == 0 {
				return false, true
			}
			w := codec.Writer(make([]byte, 0, 1<<16))
			if o.Carry(w); w.End() != nil {
				t.Errorf("a connection is not written: %v", w.End())
			}
			fd, err := unix.FcntlInt(uintptr(o.FD), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Errorf("a descriptor of a connection: %v", err)
			}
			states, sockets = append(states, w.Written()), append(sockets, fd)
			return true, true
		})
		if stopped == nil {
			return moved
		}
		gone := make([]bool, len(states))
		for i := range gone {
			gone[i] = r.IntN(8) != 0
		}
		stopped.Settle(gone)
		for i, state := range states {
			if !gone[i] {
				unix.Close(sockets[i])
				continue
			}
			moved++
			m := new(Moved)
			c := codec.Reader(state)
			if m.Carry(c); c.End() != nil {
				t.Errorf("a connection is not read: %v", c.End())
			}
			socket, err := loop.Open(sockets[i])
			if err != nil {
				t.Fatal(err)
			}
			w := wire.New(socket)
			if m.About != nil {
				w = wire.NewTLS(socket)
			}
			if !to.Resume(clientio.NewConn(w, clientio.NewHeadBudget()), m) {
				t.Error("no loop has taken the connection")
			}
		}
	}
}

// Connections that move all the time, in the middle of a head too, get every answer, in order.
func TestConnectionsThatMove(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			handle := func(w http.ResponseWriter, r *message.Request, why *h1.Refusal) {
				if why != nil {
					t.Errorf("refused: %v", why)
				}
				fmt.Fprint(w, r.Path)
			}
			a, b := newServer(t, handle), newServer(t, handle)
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 1))
			var clients []net.Conn
			for range 5 {
				if secure {
					clients = append(clients, record.NewConn(wire.NewTLS(a.connectTLS(t)), new(tls.ConnectionState), newState(), nil))
				} else {
					clients = append(clients, a.connect(t))
				}
			}
			moves := 0
			for n := range 20 {
				for i, c := range clients {
					path := fmt.Sprintf("/%d/%d", i, n)
					for rest := "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"; rest != ""; {
						k := 1 + r.IntN(len(rest))
						if _, err := io.WriteString(c, rest[:k]); err != nil {
							t.Fatalf("seed %d: %v", seed, err)
						}
						rest = rest[k:]
						moves += move(t, r, a, b) + move(t, r, b, a)
					}
					res, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Fatalf("seed %d: no answer to %s after %d moves: %v", seed, path, moves, err)
					}
					if body, err := io.ReadAll(res.Body); string(body) != path || err != nil {
						t.Fatalf("seed %d: %q, %v in answer to %s", seed, body, err, path)
					}
				}
			}
			if moves == 0 {
				t.Error("nothing has moved")
			}
			for _, c := range clients {
				c.Close()
			}
		})
	}
}
