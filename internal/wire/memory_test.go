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

// handshake does a TLS handshake and sends a byte each way. The server remembers; logged
// is the key log of the client.
func handshake(t *testing.T, server, client *tls.Config) (c, s *tls.Conn, w *Conn, logged *bytes.Buffer, err error) {
	t.Helper()
	near, far := pair(t, "tcp")
	w = NewTLS(far)
	w.Remember()
	outer := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		return Of(h.Conn).Configure(server), nil
	}}
	client = client.Clone()
	logged = new(bytes.Buffer)
	client.KeyLogWriter = logged
	c, s = tls.Client(near, client), tls.Server(w, outer)
	_, err = wstest.HandshakeTLS(c, s)
	return c, s, w, logged, err
}

// secretOf finds a line of a key log.
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
	got, ok := w.Recall()
	want := Secrets{Client: secretOf(t, logged, "CLIENT_TRAFFIC_SECRET_0"), Server: secretOf(t, logged, "SERVER_TRAFFIC_SECRET_0")}
	if !ok || got.Client || got.Secrets != want {
		t.Errorf("TLS 1.3: %+v, %v; want the secrets of the peer's log", got, ok)
	}

	client.MaxVersion = tls.VersionTLS12
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for run := range 4 { // a ticket of a resumed session resumes again
		c, _, w, logged, err := handshake(t, server, client)
		if err != nil || c.ConnectionState().DidResume != (run > 0) {
			t.Fatalf("TLS 1.2, connection %d: resumed is %v, %v", run, c.ConnectionState().DidResume, err)
		}
		got, ok := w.Recall()
		if run == 0 {
			want = Secrets{Master: secretOf(t, logged, "CLIENT_RANDOM")}
		}
		if !ok || got.Secrets != want {
			t.Errorf("TLS 1.2, connection %d: %v; want the master secret of the peer's log", run, ok)
		}
	}
}

// A browser resumes for a WebSocket what it began with HTTP/2.
func TestTicketOfAnHTTP2ConnectionHasTheSecret(t *testing.T) {
	server, client := certificate(t)
	server.SetSessionTicketKeys([][32]byte{{1}})
	server.NextProtos, client.NextProtos = []string{"h2", "http/1.1"}, []string{"h2"}
	client.MaxVersion, client.ClientSessionCache = tls.VersionTLS12, tls.NewLRUClientSessionCache(1)
	_, _, w, logged, err := handshake(t, server, client)
	if _, ok := w.Recall(); ok || err != nil {
		t.Fatalf("the HTTP/2 connection remembers: %v, %v", ok, err)
	}
	want := Secrets{Master: secretOf(t, logged, "CLIENT_RANDOM")}
	client.NextProtos = []string{"http/1.1"}
	c, _, w, _, err := handshake(t, server, client)
	if got, ok := w.Recall(); err != nil || !c.ConnectionState().DidResume || !ok || got.Secrets != want {
		t.Errorf("resumed with HTTP/1.1: %v, %v, %v; want the first one's secret", c.ConnectionState().DidResume, ok, err)
	}
}

func TestSecretsAreForgotten(t *testing.T) {
	tests := []struct {
		name      string
		protocols []string
		by        func(*Conn)
		forgotten bool
	}{
		{"HTTP/1.1", []string{"http/1.1"}, func(*Conn) {}, false},
		{"no protocol", nil, func(*Conn) {}, false},
		{"HTTP/2", []string{"h2"}, func(*Conn) {}, true},
		{"Forget", nil, (*Conn).Forget, true},
		{"Close", nil, func(c *Conn) { c.Close() }, true},
		{"Recall", nil, func(c *Conn) { c.Recall() }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				server, client := certificate(t)
				server.NextProtos, client.NextProtos, client.MaxVersion = tt.protocols, tt.protocols, version
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // without tickets TLS 1.2 waits for Close
				near, far := pair(t, "tcp")
				w := NewTLS(far)
				w.Remember()
				m := w.memory.Load()
				s := tls.Server(w, w.Configure(server))
				done := make(chan error, 1)
				go func() { done <- s.Handshake() }()
				if err := tls.Client(near, client).Handshake(); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				tt.by(w)
				if empty := m.secrets == (Secrets{}); empty != tt.forgotten {
					t.Errorf("%s: the secrets are gone: %v; want %v", tls.VersionName(version), empty, tt.forgotten)
				}
				if _, ok := w.Recall(); ok == tt.forgotten {
					t.Errorf("%s: Recall = %v; want %v", tls.VersionName(version), ok, !tt.forgotten)
				}
			}
		})
	}
}

func TestKeyLogLineIsOverwritten(t *testing.T) {
	line := fmt.Appendf(nil, "CLIENT_RANDOM %x %x\n", make([]byte, 32), bytes.Repeat([]byte{5}, 48))
	m := new(memory)
	if n, err := m.Write(line); n != len(line) || err != nil {
		t.Errorf("Write = %d, %v; want %d", n, err, len(line))
	}
	if len(bytes.Trim(line, "\x00")) > 0 || m.secrets.Master[47] != 5 {
		t.Errorf("left %q, took %v", line, m.secrets.Master)
	}
}

// A Close can come between two steps of a handshake.
func TestNothingIsTakenInOnceForgotten(t *testing.T) {
	m := new(memory)
	m.secrets.Master[0] = 1
	session := new(tls.SessionState)
	m.save(session)
	m.wipe()
	fmt.Fprintf(m, "CLIENT_RANDOM %x %x\n", make([]byte, 32), bytes.Repeat([]byte{5}, 48))
	if m.secrets != (Secrets{}) {
		t.Error("a line of the key log was")
	}
	if m.restore(session); m.secrets != (Secrets{}) {
		t.Error("the secret of a ticket was")
	}
}

func TestKeyLogLineThatMakesNoSense(t *testing.T) {
	for _, line := range []string{"", "\n", "CLIENT_RANDOM", "CLIENT_RANDOM x", "CLIENT_RANDOM 00 zz\n", "OTHER 00 00\n",
		fmt.Sprintf("CLIENT_RANDOM 00 %x\n", make([]byte, 100))} {
		m := new(memory)
		if n, err := m.Write([]byte(line)); n != len(line) || err != nil || m.secrets != (Secrets{}) {
			t.Errorf("Write(%q) = %d, %v, and took %v", line, n, err, m.secrets)
		}
	}
}

func TestConfigureKeepsWhatTheConfigurationSays(t *testing.T) {
	server, client := certificate(t)
	if got := NewTLS(&script{}).Configure(server); got != server {
		t.Error("a connection that remembers nothing got another configuration")
	}
	refused := errors.New("refused")
	asked := 0
	server.VerifyConnection = func(tls.ConnectionState) error { asked++; return refused }
	_, _, w, _, err := handshake(t, server, client)
	if !errors.Is(err, refused) || asked != 1 {
		t.Errorf("the handshake = %v, after %d questions; want %v after one", err, asked, refused)
	}
	if _, ok := w.Recall(); ok {
		t.Error("a connection that was closed remembers")
	}
}

// A record that was handed over in part is finished, and nothing more: the
// socket is not asked, and not even what was read ahead goes over.
func TestFreezeStopsBetweenRecords(t *testing.T) {
	first, second := record(50), record(60)
	for read := range len(first) + 1 {
		from := &script{steps: []any{slices.Concat(first[:3]), slices.Concat(first[3:], second)}}
		c := NewTLS(from)
		c.Remember()
		got := make([]byte, 200)
		n := 0
		if read > 0 {
			var err error
			if n, err = c.Read(got[:read]); n != read || err != nil {
				t.Fatalf("Read(%d bytes) = %d, %v", read, n, err)
			}
		}
		if !c.Freeze() {
			t.Fatal("not frozen")
		}
		asked := from.reads
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
		if e, ok := err.(net.Error); n != want || !ok || !e.Timeout() || from.reads != asked {
			t.Fatalf("frozen at %d: %d bytes, %v, %d reads of the socket; want %d, a timeout and none", read, n, err, from.reads-asked, want)
		}
		c.Forget()
		rest, err := io.ReadAll(c)
		if all := append(got[:n], rest...); !bytes.Equal(all, slices.Concat(first, second)) || err != nil {
			t.Fatalf("frozen at %d: %d bytes in all, %v; want %d", read, len(all), err, len(first)+len(second))
		}
	}
}

func TestFreezeNeedsMemory(t *testing.T) {
	c := NewTLS(&script{steps: []any{record(5)}})
	if c.Freeze() {
		t.Error("frozen")
	}
	if n, err := c.Read(make([]byte, 100)); n != 10 || err != nil {
		t.Errorf("Read = %d, %v; want the record", n, err)
	}
}

func TestFrozenConnThatSpeaksNoTLS(t *testing.T) {
	c := NewTLS(&script{steps: []any{[]byte("GET / HTTP/1.1\r\n")}})
	c.Remember()
	c.Read(make([]byte, 3))
	c.Freeze()
	if n, err := c.Read(make([]byte, 3)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %d, %v; want a timeout", n, err)
	}
}
