package record

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// conduit is a net.Conn without a peer: what is written stays, what is read was
// put there.
type conduit struct {
	net.Conn
	in, out []byte
}

func (c *conduit) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *conduit) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

var benchSuites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}

// benchmark runs f for each suite and size of a message.
func benchmark(b *testing.B, f func(b *testing.B, id uint16, plain []byte)) {
	for _, id := range benchSuites {
		for _, n := range []int{128, maxPlain} {
			b.Run(fmt.Sprintf("%s/%d", tls.CipherSuiteName(id), n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(n))
				f(b, id, make([]byte, n))
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmark(b, func(b *testing.B, id uint16, plain []byte) {
		client, _ := ends(b, id)
		buf := make([]byte, 0, SealedSize(len(plain)))
		for b.Loop() {
			if _, err := client.Seal(&client.Hot, buf, plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmark(b, func(b *testing.B, id uint16, plain []byte) {
		client, server := ends(b, id)
		record := client.seal(b, plain)
		buf := make([]byte, len(record))
		for b.Loop() {
			copy(buf, record) // about a tenth at 16 KiB
			server.State.in.sequence = 0
			if r, err := server.open(buf); err != nil || r.Kind != Data {
				b.Fatal(r, err)
			}
		}
	})
}

// BenchmarkCryptoTLS is the same with crypto/tls: a Write, and the Read of what
// it wrote.
func BenchmarkCryptoTLS(b *testing.B) {
	benchmark(b, func(b *testing.B, id uint16, plain []byte) {
		client, server, fromClient, toServer := shaken(b, id)
		buf := make([]byte, len(plain))
		for b.Loop() {
			fromClient.out = fromClient.out[:0]
			if _, err := client.Write(plain); err != nil {
				b.Fatal(err)
			}
			toServer.in = fromClient.out
			if _, err := io.ReadFull(server, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHot is what a direction that was idle costs before its first record.
func BenchmarkHot(b *testing.B) {
	for _, id := range benchSuites {
		b.Run(tls.CipherSuiteName(id), func(b *testing.B) {
			client, _ := ends(b, id)
			b.ReportAllocs()
			for b.Loop() {
				client.Hot = Hot{}
				if err := client.Hot.out.ready(id, &client.State.out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// shaken returns two ends of crypto/tls that speak the suite, whose sockets are
// conduits by now.
func shaken(b *testing.B, id uint16) (client, server *tls.Conn, fromClient, toServer *conduit) {
	near, far := net.Pipe()
	fromClient, toServer = &conduit{}, &conduit{}
	a, z := &exchangeable{Conn: near}, &exchangeable{Conn: far}
	config := &tls.Config{Certificates: []tls.Certificate{certificate(b)}, InsecureSkipVerify: true, CipherSuites: []uint16{id}, SessionTicketsDisabled: true}
	if s, _ := suiteOf(id); s.version == tls.VersionTLS12 {
		config.MaxVersion = tls.VersionTLS12
	}
	client, server = tls.Client(a, config), tls.Server(z, config)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	a.Conn, z.Conn = fromClient, toServer
	return client, server, fromClient, toServer
}

type exchangeable struct{ net.Conn }

// certificate returns a throwaway one.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"record.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
