package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"

	"sluice/internal/wstest"
)

// handshake does a handshake over a socket and sends a byte each way. The server captures
// on w. Logged is the key log of the client.
func handshake(t *testing.T, server, client *tls.Config) (c, s *tls.Conn, w *Conn, logged *bytes.Buffer, err error) {
	t.Helper()
	near, far := pair(t, "tcp")
	w = NewTLS(far)
	w.StartCapture()
	outer := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		return Of(h.Conn).HandshakeConfig(server), nil
	}}
	client = client.Clone()
	logged = new(bytes.Buffer)
	client.KeyLogWriter = logged
	c, s = tls.Client(near, client), tls.Server(w, outer)
	_, err = wstest.HandshakeTLS(c, s)
	return c, s, w, logged, err
}

// secretOf returns the secret that a key log has under label.
func secretOf(t *testing.T, logged *bytes.Buffer, label string) (secret [48]byte) {
	t.Helper()
	for line := range bytes.Lines(logged.Bytes()) {
		var name string
		var random, text []byte
		if n, _ := fmt.Sscanf(string(line), "%s %x %x", &name, &random, &text); n == 3 && name == label {
			copy(secret[:], text)
			return secret
		}
	}
	t.Fatalf("no %s in %q", label, logged)
	return secret
}

func TestSecretsAreThoseOfTheHandshake(t *testing.T) {
	server, client := certificate(t)
	server.SetSessionTicketKeys([][32]byte{{1}})
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	_, _, w, logged, err := handshake(t, server, client)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := w.TakeCapture()
	want := Secrets{
		Client: secretOf(t, logged, "CLIENT_TRAFFIC_SECRET_0"), Server: secretOf(t, logged, "SERVER_TRAFFIC_SECRET_0"),
		ClientHandshake: secretOf(t, logged, "CLIENT_HANDSHAKE_TRAFFIC_SECRET"), ServerHandshake: secretOf(t, logged, "SERVER_HANDSHAKE_TRAFFIC_SECRET"),
	}
	if !ok || got.Client || got.Secrets != want {
		t.Errorf("TLS 1.3: %+v, %v; want the secrets of the key log of the peer", got, ok)
	}

	client.MaxVersion = tls.VersionTLS12
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for run := range 4 { // a ticket of a resumed session resumes again
		c, _, w, logged, err := handshake(t, server, client)
		if err != nil || c.ConnectionState().DidResume != (run > 0) {
			t.Fatalf("TLS 1.2, connection %d: resumed is %v, %v", run, c.ConnectionState().DidResume, err)
		}
		got, ok := w.TakeCapture()
		if run == 0 {
			want = Secrets{Master: secretOf(t, logged, "CLIENT_RANDOM")}
		}
		if !ok || got.Secrets != want {
			t.Errorf("TLS 1.2, connection %d: %v; want the master secret of the key log of the peer", run, ok)
		}
	}
}

// A browser may resume a session for a WebSocket that it began with HTTP/2.
func TestTicketOfAnHTTP2ConnectionHasTheSecret(t *testing.T) {
	server, client := certificate(t)
	server.SetSessionTicketKeys([][32]byte{{1}})
	server.NextProtos, client.NextProtos = []string{"h2", "http/1.1"}, []string{"h2"}
	client.MaxVersion, client.ClientSessionCache = tls.VersionTLS12, tls.NewLRUClientSessionCache(1)
	_, _, w, logged, err := handshake(t, server, client)
	if _, ok := w.TakeCapture(); ok || err != nil {
		t.Fatalf("TakeCapture of the HTTP/2 connection = %v, and %v; want nothing", ok, err)
	}
	want := Secrets{Master: secretOf(t, logged, "CLIENT_RANDOM")}
	client.NextProtos = []string{"http/1.1"}
	c, _, w, _, err := handshake(t, server, client)
	if got, ok := w.TakeCapture(); err != nil || !c.ConnectionState().DidResume || !ok || got.Secrets != want {
		t.Errorf("resumed with HTTP/1.1: %v, %v, %v; want the secret of the first session", c.ConnectionState().DidResume, ok, err)
	}
}

func TestSecretsAreWiped(t *testing.T) {
	tests := []struct {
		name      string
		protocols []string
		by        func(*Conn)
		wiped     bool
	}{
		{"HTTP/1.1", []string{"http/1.1"}, func(*Conn) {}, false},
		{"no protocol", nil, func(*Conn) {}, false},
		{"HTTP/2", []string{"h2"}, func(*Conn) {}, true},
		{"DropCapture", nil, (*Conn).DropCapture, true},
		{"Close", nil, func(c *Conn) { c.Close() }, true},
		{"TakeCapture", nil, func(c *Conn) { c.TakeCapture() }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				server, client := certificate(t)
				server.NextProtos, client.NextProtos, client.MaxVersion = tt.protocols, tt.protocols, version
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // without tickets TLS 1.2 waits for Close
				near, far := pair(t, "tcp")
				w := NewTLS(far)
				w.StartCapture()
				m := w.capturer.Load()
				s := tls.Server(w, w.HandshakeConfig(server))
				done := make(chan error, 1)
				go func() { done <- s.Handshake() }()
				if err := tls.Client(near, client).Handshake(); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				tt.by(w)
				if empty := m.secrets == (Secrets{}); empty != tt.wiped {
					t.Errorf("%s: the secrets are wiped: %v; want %v", tls.VersionName(version), empty, tt.wiped)
				}
				if _, ok := w.TakeCapture(); ok == tt.wiped {
					t.Errorf("%s: TakeCapture = %v; want %v", tls.VersionName(version), ok, !tt.wiped)
				}
			}
		})
	}
}

func TestKeyLogLineIsOverwritten(t *testing.T) {
	line := fmt.Appendf(nil, "CLIENT_RANDOM %x %x\n", make([]byte, 32), bytes.Repeat([]byte{5}, 48))
	m := new(capturer)
	if n, err := m.Write(line); n != len(line) || err != nil {
		t.Errorf("Write = %d, %v; want %d", n, err, len(line))
	}
	if len(bytes.Trim(line, "\x00")) > 0 || m.secrets.Master[47] != 5 {
		t.Errorf("left %q, took %v", line, m.secrets.Master)
	}
}

// A Close can come between two steps of a handshake.
func TestWipedSecretsStayWiped(t *testing.T) {
	m := new(capturer)
	m.secrets.Master[0] = 1
	session := new(tls.SessionState)
	m.save(session)
	m.wipe()
	fmt.Fprintf(m, "CLIENT_RANDOM %x %x\n", make([]byte, 32), bytes.Repeat([]byte{5}, 48))
	if m.secrets != (Secrets{}) {
		t.Error("a line of the key log was kept")
	}
	if m.restore(session); m.secrets != (Secrets{}) {
		t.Error("the secret of a ticket was kept")
	}
}

func TestMalformedKeyLogLine(t *testing.T) {
	for _, line := range []string{"", "\n", "CLIENT_RANDOM", "CLIENT_RANDOM x", "CLIENT_RANDOM 00 zz\n", "OTHER 00 00\n",
		fmt.Sprintf("CLIENT_RANDOM 00 %x\n", make([]byte, 100))} {
		m := new(capturer)
		if n, err := m.Write([]byte(line)); n != len(line) || err != nil || m.secrets != (Secrets{}) {
			t.Errorf("Write(%q) = %d, %v, and took %v", line, n, err, m.secrets)
		}
	}
}

func TestHandshakeConfigKeepsThatOfTheCaller(t *testing.T) {
	server, client := certificate(t)
	if got := NewTLS(&script{}).HandshakeConfig(server); got != server {
		t.Error("HandshakeConfig without a capture returned another configuration")
	}
	refused := errors.New("refused")
	calls := 0
	server.VerifyConnection = func(tls.ConnectionState) error { calls++; return refused }
	_, _, w, _, err := handshake(t, server, client)
	if !errors.Is(err, refused) || calls != 1 {
		t.Errorf("the handshake = %v, after %d calls of VerifyConnection; want %v after one", err, calls, refused)
	}
	if _, ok := w.TakeCapture(); ok {
		t.Error("TakeCapture of a closed connection = true; want false")
	}
}

// A frozen connection returns the rest of a record of which it has returned a part, and no
// more: it does not read from the socket, and keeps what else was read ahead.
func TestFreezeStopsBetweenRecords(t *testing.T) {
	first, second := record(50), record(60)
	for read := range len(first) + 1 {
		from := &script{steps: []any{slices.Concat(first[:3]), slices.Concat(first[3:], second)}}
		c := NewTLS(from)
		c.StartCapture()
		got := make([]byte, 200)
		n := 0
		if read > 0 {
			var err error
			if n, err = c.Read(got[:read]); n != read || err != nil {
				t.Fatalf("Read(%d bytes) = %d, %v", read, n, err)
			}
		}
		if !c.Freeze() {
			t.Fatal("Freeze() = false; want true")
		}
		before := from.reads
		var err error
		for err == nil {
			var m int
			m, err = c.Read(got[n:])
			n += m
		}
		want := 0
		if read > 0 {
			want = len(first)
		}
		if e, ok := err.(net.Error); n != want || !ok || !e.Timeout() || from.reads != before {
			t.Fatalf("frozen at %d: %d bytes, %v, %d reads of the socket; want %d, a timeout and none", read, n, err, from.reads-before, want)
		}
		c.DropCapture()
		rest, err := io.ReadAll(c)
		if all := append(got[:n], rest...); !bytes.Equal(all, slices.Concat(first, second)) || err != nil {
			t.Fatalf("frozen at %d: %d bytes in all, %v; want %d", read, len(all), err, len(first)+len(second))
		}
	}
}

func TestFreezeNeedsACapture(t *testing.T) {
	c := NewTLS(&script{steps: []any{record(5)}})
	if c.Freeze() {
		t.Error("Freeze() = true; want false")
	}
	if n, err := c.Read(make([]byte, 100)); n != 10 || err != nil {
		t.Errorf("Read = %d, %v; want the record", n, err)
	}
}

func TestFrozenConnWithoutTLS(t *testing.T) {
	c := NewTLS(&script{steps: []any{[]byte("GET / HTTP/1.1\r\n")}})
	c.StartCapture()
	c.Read(make([]byte, 3))
	c.Freeze()
	if n, err := c.Read(make([]byte, 3)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %d, %v; want a timeout", n, err)
	}
}
