package relaytest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
)

// A Link makes a connection: the gateway's end and the peer's.
type Link func(t testing.TB, side core.Side) (gateway, peer net.Conn)

// Loopback is a TCP connection over the loopback interface.
func Loopback(t testing.TB, _ core.Side) (gateway, peer net.Conn) {
	t.Helper()
	peer, gateway = wstest.Sockets(t, "tcp")
	return wire.New(gateway), guarded(t, peer)
}

// Tight is a loopback connection with small buffers, but of the peer's sending: none grows by itself
// to what the system allows, so that it is known what fits in (see [Bulk]).
func Tight(t testing.TB, side core.Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = Loopback(t, side)
	if err := errors.Join(
		wire.Of(gateway).Conn.(*net.TCPConn).SetWriteBuffer(32<<10),
		wire.Of(gateway).Conn.(*net.TCPConn).SetReadBuffer(128<<10),
		peer.(*net.TCPConn).SetReadBuffer(128<<10),
	); err != nil {
		t.Fatal(err)
	}
	return gateway, peer
}

// Small is a loopback connection with the smallest buffers that the system allows.
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

// UnixSocket is a connection over a Unix socket.
func UnixSocket(t testing.TB, _ core.Side) (gateway, peer net.Conn) {
	t.Helper()
	peer, gateway = wstest.Sockets(t, "unix")
	return wire.New(gateway), guarded(t, peer)
}

// guarded returns peer with a deadline for its whole life, so that no test waits for ever.
func guarded(t testing.TB, peer net.Conn) net.Conn {
	t.Helper()
	if err := peer.SetDeadline(time.Now().Add(wstest.LongGuard)); err != nil {
		t.Fatal(err)
	}
	return peer
}

// Stuck is a Unix socket that takes little from the gateway. Once it is full it stays full
// until the peer reads. With TCP, what was written may still move on to the peer's buffer.
func Stuck(t testing.TB, side core.Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = UnixSocket(t, side)
	if err := wire.Of(gateway).Conn.(*net.UnixConn).SetWriteBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	return gateway, peer
}

// OverTLS is TLS over another link. The gateway is the server of the client, and the client
// of the backend. With changes the configuration of the end that is the TLS client. OverTLS
// must be called outside of a synctest bubble: certificates are not valid at its time.
func OverTLS(t testing.TB, below Link, with ...func(*tls.Config)) Link {
	ca, now := wstest.NewCA(t), time.Now()
	server, client := ca.Server(t, "localhost"), ca.Client("localhost")
	client.Time = func() time.Time { return now }
	for _, change := range with {
		change(client)
	}
	return func(t testing.TB, side core.Side) (gateway, peer net.Conn) {
		g, p := below(t, side)
		return handshakeTLS(t, g, p, side, server, client, nil)
	}
}

// handshakeTLS does the TLS handshake over both ends of a connection and sends a byte each
// way, as the opening handshake does. The peer's secrets go to log, unless that is nil.
func handshakeTLS(t testing.TB, g, p net.Conn, side core.Side, server, client *tls.Config, log io.Writer) (gateway, peer *tls.Conn) {
	c := wire.NewTLS(wire.Of(g).Conn)
	c.StartCapture()
	if side == core.Client {
		client = client.Clone()
		client.KeyLogWriter = log
		gateway, peer = tls.Server(c, c.HandshakeConfig(server)), tls.Client(p, client)
	} else {
		server = server.Clone()
		server.KeyLogWriter = log
		gateway, peer = tls.Client(c, c.HandshakeConfig(client)), tls.Server(p, server)
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

// Links returns the kinds of connections that sessions are made of, by name.
func Links(t testing.TB) map[string]Link {
	return map[string]Link{
		"loopback":          Loopback,
		"TLS over loopback": OverTLS(t, Loopback),
		"memory":            MemoryLink(1000),
	}
}
