package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// pair returns both ends of a real connection of network, tcp or unix.
func pair(t *testing.T, network string) (near, far net.Conn) {
	t.Helper()
	far, near = wstest.Sockets(t, network)
	deadline := time.Now().Add(wstest.LongGuard)
	near.SetDeadline(deadline)
	far.SetDeadline(deadline)
	return near, far
}

// certificate returns the configuration of a server with a new certificate, and that of a
// client that trusts it.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"wire.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "wire.test"}
}

func TestOf(t *testing.T) {
	c := NewTLS(&script{})
	tests := []struct {
		name string
		in   net.Conn
		want *Conn
	}{
		{"itself", c, c},
		{"below TLS", tls.Server(c, nil), c},
		{"below TLS in TLS", tls.Server(tls.Client(c, nil), nil), c},
		{"another net.Conn", &script{}, nil},
		{"TLS over another net.Conn", tls.Server(&script{}, nil), nil},
		{"nil", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Of(tt.in); got != tt.want {
				t.Errorf("Of(%T) = %p; want %p", tt.in, got, tt.want)
			}
		})
	}
}

type from struct {
	net.Conn
	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }

func TestPeer(t *testing.T) {
	tests := []struct {
		name    string
		address net.Addr
		want    netip.AddrPort
	}{
		{"IPv4", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7).To4(), Port: 80}, netip.MustParseAddrPort("192.0.2.7:80")},
		{"IPv4 in IPv6", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7).To16(), Port: 80}, netip.MustParseAddrPort("192.0.2.7:80")},
		{"IPv6", &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 65535}, netip.MustParseAddrPort("[2001:db8::7]:65535")},
		{"IPv6 with a zone", &net.TCPAddr{IP: net.ParseIP("fe80::7"), Port: 1, Zone: "eth0"}, netip.MustParseAddrPort("[fe80::7]:1")},
		{"a Unix socket", &net.UnixAddr{Name: "/run/s", Net: "unix"}, netip.AddrPort{}},
		{"no address", nil, netip.AddrPort{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := New(from{address: tt.address}).Peer(); got != tt.want {
				t.Errorf("Peer() of %v = %v; want %v", tt.address, got, tt.want)
			}
		})
	}
}

func TestCloseWriteEndsOneDirectionOnly(t *testing.T) {
	serverConfig, clientConfig := certificate(t)
	tests := []struct {
		name, network string
		secure        bool
		wrap          func(net.Conn) net.Conn
	}{
		{"TCP", "tcp", false, func(c net.Conn) net.Conn { return c }},
		{"Conn over TCP", "tcp", false, func(c net.Conn) net.Conn { return New(c) }},
		{"Unix", "unix", false, func(c net.Conn) net.Conn { return c }},
		{"Conn over Unix", "unix", false, func(c net.Conn) net.Conn { return New(c) }},
		{"TLS over Conn over TCP", "tcp", true, func(c net.Conn) net.Conn { return NewTLS(c) }},
		{"TLS over Conn over Unix", "unix", true, func(c net.Conn) net.Conn { return NewTLS(c) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, peer := pair(t, tt.network)
			near = tt.wrap(near)
			raw := &tap{Conn: peer}
			far := net.Conn(raw)
			if tt.secure {
				near, far = tls.Server(near, serverConfig), tls.Client(raw, clientConfig)
			}
			done := make(chan error, 1)
			go func() {
				_, err := near.Write([]byte("last words"))
				if err == nil {
					err = CloseWrite(near)
				}
				done <- err
			}()
			if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
				t.Fatalf("the peer read %q, %v; want %q and the end", got, err, "last words")
			}
			if err := <-done; err != nil {
				t.Fatalf("CloseWrite = %v", err)
			}
			if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the socket below returned %d, %v; want its end", n, err)
			}
			if _, err := far.Write([]byte("answer")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 6)
			if _, err := io.ReadFull(near, got); string(got) != "answer" || err != nil {
				t.Errorf("read %q, %v after CloseWrite; want %q", got, err, "answer")
			}
		})
	}
}

func TestCloseWriteClosesWithoutAHalfClose(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	if err := CloseWrite(New(near)); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write = %v; want %v", err, io.ErrClosedPipe)
	}
}

func TestCloseWriteEndsTheSocketIfTLSFails(t *testing.T) {
	serverConfig, _ := certificate(t)
	near, far := pair(t, "tcp")
	if err := CloseWrite(tls.Server(NewTLS(near), serverConfig)); err == nil {
		t.Error("CloseWrite before the handshake = nil; want the error of crypto/tls")
	}
	if got, err := io.ReadAll(far); len(got) != 0 || err != nil {
		t.Errorf("the peer read %q, %v; want the end", got, err)
	}
}

// tap keeps the bytes that its Reads have returned.
type tap struct {
	net.Conn
	read []byte
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.read = append(t.read, p[:n]...)
	return n, err
}

// trickle writes in small pieces.
type trickle struct {
	net.Conn
	size int
}

func (w *trickle) Write(p []byte) (n int, err error) {
	for piece := range slices.Chunk(p, w.size) {
		m, err := w.Conn.Write(piece)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

func TestTLSSurvivesInterruptedReads(t *testing.T) {
	serverConfig, clientConfig := certificate(t)
	tests := []struct {
		name    string
		version uint16
		piece   int
		size    int // of the client's writes
	}{
		{"TLS 1.3, records cut into single bytes", tls.VersionTLS13, 1, 50},
		{"TLS 1.3, records in pieces", tls.VersionTLS13, 700, 9000},
		{"TLS 1.3, several records at once", tls.VersionTLS13, 40000, 300},
		{"TLS 1.2, records cut into single bytes", tls.VersionTLS12, 1, 50},
		{"TLS 1.2, records in pieces", tls.VersionTLS12, 700, 9000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := pair(t, "tcp")
			c := NewTLS(near)
			returned := &tap{Conn: c}
			config := serverConfig.Clone()
			config.MinVersion, config.MaxVersion = tt.version, tt.version
			server := tls.Server(returned, config)

			sent := make([]byte, 40*tt.size)
			rand.Read(sent)
			wrote := make(chan error, 1)
			go func() {
				client := tls.Client(&trickle{far, tt.piece}, clientConfig)
				for part := range slices.Chunk(sent, tt.size) {
					if _, err := client.Write(part); err != nil {
						wrote <- err
						return
					}
				}
				wrote <- CloseWrite(client)
			}()
			if err := server.Handshake(); err != nil {
				t.Fatal(err)
			}

			// Interrupts come at any time, as those of net/http do. Each one waits until
			// the one before was noticed.
			interrupt, noticed := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(interrupt)
				for range 500 {
					near.SetReadDeadline(time.Unix(1, 0))
					select {
					case <-noticed:
					case <-t.Context().Done():
						return
					}
				}
			}()
			var got []byte
			for p := make([]byte, 4000); ; {
				n, err := server.Read(p)
				got = append(got, p[:n]...)
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					if whole, ok := wholeRecords(returned.read); !ok || whole != len(returned.read) {
						t.Fatalf("interrupted after %d bytes were returned to TLS, %d of them whole records", len(returned.read), whole)
					}
					near.SetReadDeadline(time.Now().Add(wstest.LongGuard))
					select {
					case noticed <- struct{}{}:
					case <-interrupt:
					}
					continue
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("Read = %v after %d of %d bytes", err, len(got), len(sent))
				}
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("read %d bytes that are not the %d sent", len(got), len(sent))
			}
		})
	}
}

// crypto/tls takes an end between records for a clean one. An end inside a record must not
// look like it.
func TestEndInsideARecordIsSeenThroughTLS(t *testing.T) {
	serverConfig, clientConfig := certificate(t)
	for _, keep := range []int{1, 4, 5, 6, 20} {
		near, far := pair(t, "tcp")
		server := tls.Server(NewTLS(near), serverConfig)
		go func() {
			w := &limited{Conn: far, left: -1}
			client := tls.Client(w, clientConfig)
			client.Handshake()
			w.left = keep
			client.Write([]byte("a message that is cut"))
			far.Close()
		}()
		if n, err := server.Read(make([]byte, 100)); n != 0 || err != io.ErrUnexpectedEOF {
			t.Errorf("Read of a record cut after %d bytes = %d, %v; want 0, %v", keep, n, err, io.ErrUnexpectedEOF)
		}
	}
}

// limited writes left bytes and drops the others. It writes all of them while left is
// negative.
type limited struct {
	net.Conn
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left < 0 {
		return l.Conn.Write(p)
	}
	part := p[:min(len(p), l.left)]
	l.left -= len(part)
	if _, err := l.Conn.Write(part); err != nil {
		return 0, err
	}
	return len(p), nil
}
