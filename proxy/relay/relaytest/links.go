package relaytest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
)

// Tight is a loopback connection whose buffers towards the peer are small.
func Tight(t testing.TB, side core.Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = Loopback(t, side)
	if err := wire.Of(gateway).Conn.(*net.TCPConn).SetWriteBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	if err := peer.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	return gateway, peer
}

func UnixSocket(t testing.TB, _ core.Side) (gateway, peer net.Conn) {
	t.Helper()
	peer, gateway = wstest.Sockets(t, "unix")
	return wire.New(gateway), peer
}

// Stuck is a unix socket that takes little from the gateway. Once it is full it
// stays so until the peer reads; with TCP, what was written may still move on to
// the peer's buffer.
func Stuck(t testing.TB, side core.Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = UnixSocket(t, side)
	if err := wire.Of(gateway).Conn.(*net.UnixConn).SetWriteBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	return gateway, peer
}

func LostCode(side core.Side) ws.StatusCode {
	if side == core.Client {
		return 1001
	}
	return 1014
}

// A link makes a connection: the gateway's end and the peer's.
type Link func(t testing.TB, side core.Side) (gateway, peer net.Conn)

func Loopback(t testing.TB, _ core.Side) (gateway, peer net.Conn) {
	t.Helper()
	peer, gateway = wstest.Sockets(t, "tcp")
	return wire.New(gateway), peer
}

// OverTLS puts TLS on a link: the gateway is the server of the client and the
// client of the backend. With changes what the end that is the client asks for.
// It is to be called outside of a bubble, whose clock certificates know nothing
// of.
func OverTLS(t testing.TB, below Link, with ...func(*tls.Config)) Link {
	ca, now := wstest.NewCA(t), time.Now()
	server, client := ca.Server(t, "localhost"), ca.Client("localhost")
	client.Time = func() time.Time { return now }
	for _, change := range with {
		change(client)
	}
	return func(t testing.TB, side core.Side) (gateway, peer net.Conn) {
		g, p := below(t, side)
		return HandshakeTLS(t, g, p, side, server, client, nil)
	}
}

// HandshakeTLS does the handshake over both ends of a connection, and sends a byte each
// way as the opening handshake does. The peer's secrets are logged.
func HandshakeTLS(t testing.TB, g, p net.Conn, side core.Side, server, client *tls.Config, log io.Writer) (gateway, peer *tls.Conn) {
	c := wire.NewTLS(wire.Of(g).Conn)
	c.Remember()
	if side == core.Client {
		client = client.Clone()
		client.KeyLogWriter = log
		gateway, peer = tls.Server(c, c.Configure(server)), tls.Client(p, client)
	} else {
		server = server.Clone()
		server.KeyLogWriter = log
		gateway, peer = tls.Client(c, c.Configure(client)), tls.Server(p, server)
	}
	done := make(chan error)
	go func() { done <- peer.Handshake() }()
	if err := errors.Join(gateway.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	for _, way := range [...][2]net.Conn{{gateway, peer}, {peer, gateway}} {
		go func() {
			_, err := way[0].Write([]byte("x"))
			done <- err
		}()
		_, err := io.ReadFull(way[1], make([]byte, 1))
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
	}
	return gateway, peer
}

// Links are the kinds of connection that sessions are made of.
func Links(t testing.TB) map[string]Link {
	return map[string]Link{
		"loopback":          Loopback,
		"TLS over loopback": OverTLS(t, Loopback),
		"memory":            MemoryLink(1000),
	}
}

// Small is a loopback connection with buffers as small as they can be.
func Small(t testing.TB, side core.Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = Loopback(t, side)
	for _, c := range []net.Conn{wire.Of(gateway).Conn, peer} {
		tcp := c.(*net.TCPConn)
		if err := tcp.SetWriteBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if err := tcp.SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
	}
	return gateway, peer
}

// Suite makes crypto/tls choose a cipher suite, one of those that it can be made to choose:
// of TLS 1.3 it takes ChaCha20 if the client prefers that.
func Suite(id uint16) func(*tls.Config) {
	return func(c *tls.Config) {
		switch id {
		case tls.TLS_AES_128_GCM_SHA256:
		case tls.TLS_CHACHA20_POLY1305_SHA256:
			c.MinVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		default:
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{id}
		}
	}
}
