package record

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// program is a run of openssl.
type program struct {
	in  io.WriteCloser
	out *bufio.Reader // both of its outputs
}

// openssl starts openssl. It ends with the test at the latest.
func openssl(t *testing.T, args ...string) *program {
	t.Helper()
	path, err := exec.LookPath("openssl")
	switch {
	case err != nil && testing.Short():
		t.Skip(err)
	case err != nil:
		t.Fatalf("%v; run integration/install.sh (make test does)", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(wstest.LongGuard))
	cmd := wstest.DieWithParent(exec.Command(path, args...))
	cmd.Stdout, cmd.Stderr = w, w
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
	})
	return &program{in, bufio.NewReader(r)}
}

// say sends a line alone: openssl takes a line as a command only at the start of what it reads.
func (p *program) say(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear reads to a line with text in it, and returns the line.
func (p *program) hear(t *testing.T, text string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := p.out.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
		if err != nil {
			t.Fatalf("openssl did not say %q, %v; it said:\n%s", text, err, &all)
		}
	}
}

// files writes a certificate for openssl.
func files(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		key:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// opensslSuites is every suite as openssl names it.
var opensslSuites = []struct {
	id   uint16
	args []string
}{
	{tls.TLS_AES_128_GCM_SHA256, []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"}},
	{tls.TLS_AES_256_GCM_SHA384, []string{"-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"}},
	{tls.TLS_CHACHA20_POLY1305_SHA256, []string{"-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"}},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"}},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, []string{"-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"}},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"}},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"}},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"}},
}

// updates makes both ends change their keys in every way, with data in between. TLS 1.2 has no
// such changes.
func updates(t *testing.T, p *program, x *session) {
	t.Helper()
	round := func(n int) {
		text := fmt.Sprintf("round %d", n)
		p.say(t, text)
		expect(t, x, text+"\n")
		if _, err := x.Write([]byte(text + " back\n")); err != nil {
			t.Fatal(err)
		}
		p.hear(t, text+" back")
	}
	round(0)
	if x.Version != tls.VersionTLS13 {
		return
	}
	for n, command := range []string{"k", "K", "K", "k"} {
		before := x.State.in.secret
		p.say(t, command)
		for x.State.in.secret == before {
			if err := x.step(); err != nil {
				t.Fatal(err)
			}
		}
		if n == 2 {
			continue // two in a row
		}
		round(n + 1)
	}
	for _, ask := range []byte{0, 1} {
		if _, err := x.Conn.Write(x.rekey(t, ask)); err != nil {
			t.Fatal(err)
		}
		round(10 + int(ask))
	}
}

func TestOpenSSLClient(t *testing.T) {
	for _, tt := range opensslSuites {
		t.Run(tls.CipherSuiteName(tt.id), func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			p := openssl(t, append([]string{"s_client", "-connect", ln.Addr().String(), "-servername", "record.test"}, tt.args...)...)
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(wstest.LongGuard))
			w := wire.NewTLS(c)
			w.StartCapture()
			s := tls.Server(w, w.HandshakeConfig(serverConfig()))
			if err := s.Handshake(); err != nil {
				t.Fatal(err)
			}
			p.say(t, "hello")
			expect(t, s, "hello\n")
			io.WriteString(s, "greetings\n")
			p.hear(t, "greetings")
			x := took(t, s)
			if x.Suite != tt.id {
				t.Fatalf("%v; want %s", x, tls.CipherSuiteName(tt.id))
			}
			updates(t, p, x)
			p.say(t, "Q")
			if n, err := x.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after Q: %d, %v; want EOF", n, err)
			}
		})
	}
}

func TestOpenSSLServer(t *testing.T) {
	for _, tt := range opensslSuites {
		t.Run(tls.CipherSuiteName(tt.id), func(t *testing.T) {
			t.Parallel()
			identity := id().rsa
			if strings.Contains(tls.CipherSuiteName(tt.id), "ECDSA") {
				identity = id().ecdsa
			}
			cert, key := files(t, identity)
			p := openssl(t, append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key}, tt.args...)...)
			address, _ := strings.CutPrefix(p.hear(t, "ACCEPT"), "ACCEPT ")
			c := dial(t, address, clientConfig())
			io.WriteString(c, "hello\n")
			p.hear(t, "hello")
			p.say(t, "greetings")
			expect(t, c, "greetings\n")
			x := took(t, c)
			if x.Suite != tt.id {
				t.Fatalf("%v; want %s", x, tls.CipherSuiteName(tt.id))
			}
			updates(t, p, x)
			x.finish()
			p.hear(t, "DONE")
			if n, err := x.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v; want EOF", n, err)
			}
		})
	}
}
