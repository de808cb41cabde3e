package record

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"

	"sluice/internal/wire"
)

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
		buf := make([]byte, 0, sealedSize(len(plain)))
		for b.Loop() {
			if _, err := client.Seal(&client.Ciphers, buf, plain); err != nil {
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
		p := connect(b, id)
		buf := make([]byte, len(plain))
		for b.Loop() {
			p.fromClient.out = p.fromClient.out[:0]
			if _, err := p.client.Write(plain); err != nil {
				b.Fatal(err)
			}
			p.fromServer.in = p.fromClient.out
			if _, err := io.ReadFull(p.server, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBuildCiphers is what the first record costs of a direction that was idle.
func BenchmarkBuildCiphers(b *testing.B) {
	for _, id := range benchSuites {
		b.Run(tls.CipherSuiteName(id), func(b *testing.B) {
			client, _ := ends(b, id)
			b.ReportAllocs()
			for b.Loop() {
				client.Ciphers = Ciphers{}
				if err := client.Ciphers.out.ready(id, &client.State.out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandshake is a TLS 1.3 handshake, both ends, and one byte each way:
// what it costs the server to remember, and then to be taken over.
func BenchmarkHandshake(b *testing.B) {
	base := serverConfig()
	config := clientConfig()
	for _, bench := range []struct {
		name           string
		remember, take bool
	}{{"crypto/tls", false, false}, {"captured", true, false}, {"taken", true, true}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				near, far := net.Pipe()
				w := wire.NewTLS(far)
				if bench.remember {
					w.StartCapture()
				}
				client, server := tls.Client(near, config), tls.Server(w, &tls.Config{
					GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { return wire.Of(h.Conn).HandshakeConfig(base), nil },
				})
				done := make(chan error, 1)
				go func() {
					_, err := io.CopyN(server, server, 1)
					done <- err
				}()
				client.Write([]byte("x"))
				expect(b, client, "x")
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				if bench.take {
					if _, _, ok := Take(server); !ok {
						b.Fatal("not taken over")
					}
				}
				near.Close()
				far.Close()
			}
		})
	}
}

func BenchmarkTake(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := connectOnly(b, tls.TLS_AES_128_GCM_SHA256)
		b.StartTimer()
		if _, _, ok := Take(s.server); !ok {
			b.Fatal("not taken over")
		}
	}
}
