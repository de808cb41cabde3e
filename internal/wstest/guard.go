package wstest

import (
	"net"
	"time"
)

const (
	// Guard bounds each wait for the other side. A test that reaches it has failed.
	Guard = 20 * time.Second

	// LongGuard bounds what has many waits, such as the whole life of a connection.
	LongGuard = 6 * Guard
)

// Guarded returns c with a [Guard] for each wait: some bytes have to come or go
// within it. No test says how long all of them may take.
func Guarded(c net.Conn) net.Conn { return guarded{c} }

type guarded struct{ net.Conn }

func (g guarded) Read(b []byte) (int, error) {
	if err := g.SetReadDeadline(time.Now().Add(Guard)); err != nil {
		return 0, err
	}
	return g.Conn.Read(b)
}

func (g guarded) Write(b []byte) (int, error) {
	const piece = 1 << 20
	for sent := 0; ; {
		if err := g.SetWriteDeadline(time.Now().Add(Guard)); err != nil {
			return sent, err
		}
		n, err := g.Conn.Write(b[sent:min(sent+piece, len(b))])
		if sent += n; err != nil || sent == len(b) {
			return sent, err
		}
	}
}
