package record

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"

	"sluice/internal/wire"
)

// conduit is a net.Conn without a peer: it keeps what is written, and what is read was put
// there.
type conduit struct {
	net.Conn
	in, out []byte
}

func (c *conduit) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *conduit) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

// connected is two ends of crypto/tls after their handshake, and a State that can be the server.
type connected struct {
	client, server         *tls.Conn
	fromClient, fromServer *conduit // their sockets
	copy                   *end
}

func connect(t testing.TB, suite uint16) *connected {
	t.Helper()
	s := connectOnly(t, suite)
	state, _, ok := Take(s.server)
	if !ok || state.Suite != suite {
		t.Fatalf("took %v over, %v; want %s", state, ok, tls.CipherSuiteName(suite))
	}
	s.copy = &end{State: state}
	return s
}

// connectOnly leaves the State out. One byte went each way.
func connectOnly(t testing.TB, suite uint16) *connected {
	t.Helper()
	s := &connected{fromClient: &conduit{}, fromServer: &conduit{}}
	near, far := net.Pipe()
	a, z := &exchangeable{near}, &exchangeable{far}
	w := wire.NewTLS(z)
	w.StartCapture()
	config := clientConfig()
	if s, _ := suiteOf(suite); s.version == tls.VersionTLS12 {
		old(suite)(config)
	}
	s.client, s.server = tls.Client(a, config), tls.Server(w, w.HandshakeConfig(serverConfig()))
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(s.server, s.server, 1)
		done <- err
	}()
	if _, err := s.client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	expect(t, s.client, "x")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.Conn, z.Conn = s.fromClient, s.fromServer
	return s
}

type exchangeable struct{ net.Conn }

// The same traffic, cut anywhere, gives the same plaintext here and in crypto/tls, and
// crypto/tls opens what is sealed here.
func FuzzRoundTrip(f *testing.F) {
	spoken := append([]uint16{tls.TLS_AES_128_GCM_SHA256}, suites[3:]...) // crypto/tls prefers it to the others of 1.3
	for i := range spoken {
		f.Add(uint8(i), uint64(i), []byte("some text"))
	}
	f.Fuzz(func(t *testing.T, which uint8, seed uint64, text []byte) {
		s := connect(t, spoken[int(which)%len(spoken)])
		r := rand.New(rand.NewPCG(seed, 0))
		text = bytes.Repeat(text, 1+r.IntN(1+40000/(len(text)+1)))
		var sealed []byte
		for rest := text; len(rest) > 0; {
			n := min(1+r.IntN(1<<r.IntN(17)), len(rest))
			if _, err := s.client.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			sealed = append(sealed, s.copy.seal(t, rest[:n])...)
			rest = rest[n:]
		}

		s.fromServer.in = slices.Clone(s.fromClient.out)
		expect(t, s.server, string(text))
		var got, in []byte
		for rest := s.fromClient.out; len(rest) > 0 || len(in) > 0; {
			n := min(1+r.IntN(1<<r.IntN(17)), len(rest))
			in = append(in, rest[:n]...)
			rest = rest[n:]
			for len(in) > 0 {
				record, err := s.copy.open(in)
				if err != nil {
					t.Fatal(err)
				}
				if record.Used == 0 {
					break
				}
				got = append(got, record.Data...)
				in = in[record.Used:]
			}
		}
		if !bytes.Equal(got, text) {
			t.Errorf("opened %d bytes that are not the %d of crypto/tls", len(got), len(text))
		}

		s.fromClient.in = sealed
		expect(t, s.client, string(text))
	})
}
