package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// openssl is a run of s_client or s_server. What it reads goes into the connection, except for
// lines that are a command; what comes out of the connection it writes.
type openssl struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	errs chan string // lines of its standard error, which tell of commands
}

// pipe is an end of a pipe to a program. Each wait for the program has a guard.
type pipe struct{ file *os.File }

func (p pipe) Read(b []byte) (int, error) {
	if err := p.file.SetReadDeadline(time.Now().Add(wstest.Guard)); err != nil {
		return 0, err
	}
	return p.file.Read(b)
}

func (p pipe) Write(b []byte) (int, error) {
	if err := p.file.SetWriteDeadline(time.Now().Add(wstest.Guard)); err != nil {
		return 0, err
	}
	return p.file.Write(b)
}

// runOpenSSL starts one; it ends with the test at the latest.
func runOpenSSL(t *testing.T, args ...string) *openssl {
	t.Helper()
	cmd := wstest.DieWithParent(exec.Command("openssl", args...))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &openssl{t: t, in: pipe{in.(*os.File)}, out: bufio.NewReader(pipe{out.(*os.File)}), errs: make(chan string, 1000)}
	go func() {
		defer close(o.errs)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			o.errs <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range o.errs { // or Wait would cut it short
		}
		_ = cmd.Wait() // killed: nothing to learn
	})
	return o
}

// told waits for a line of its standard error that contains text.
func (o *openssl) told(text string) {
	o.t.Helper()
	var all []string
	for guard := time.After(wstest.Guard); ; {
		select {
		case line, ok := <-o.errs:
			if all = append(all, line); strings.Contains(line, text) {
				return
			}
			if ok {
				continue
			}
		case <-guard:
		}
		o.t.Fatalf("openssl never said %q, but\n%s", text, strings.Join(all, "\n"))
	}
}

// line reads up to a line of its output that begins with text.
func (o *openssl) line(text string) string {
	o.t.Helper()
	for {
		line, err := o.out.ReadString('\n')
		if strings.HasPrefix(line, text) {
			return line
		}
		if err != nil {
			o.t.Fatalf("openssl wrote no line with %q: %v", text, err)
		}
	}
}

func (o *openssl) write(b string) {
	o.t.Helper()
	if _, err := io.WriteString(o.in, b); err != nil {
		o.t.Fatal(err)
	}
}

// head reads up to the empty line behind an HTTP head, and returns the head.
func (o *openssl) head() string {
	o.t.Helper()
	var head strings.Builder
	for {
		line, err := o.out.ReadString('\n')
		if head.WriteString(line); line == "\r\n" {
			return head.String()
		}
		if err != nil {
			o.t.Fatalf("%v in a head, behind %q", err, head.String())
		}
	}
}

// frame reads a frame with a payload.
func (o *openssl) frame(op ws.OpCode, want string) {
	o.t.Helper()
	h, err := ws.ReadHeader(o.out)
	if err != nil || h.OpCode != op || h.Length != int64(len(want)) {
		o.t.Fatalf("openssl got %+v, %v; want opcode %d and %d bytes", h, err, op, len(want))
	}
	got := make([]byte, h.Length)
	if _, err := io.ReadFull(o.out, got); err != nil {
		o.t.Fatal(err)
	}
	if h.Masked {
		ws.Cipher(got, h.Mask, 0)
	}
	if string(got) != want {
		o.t.Fatalf("openssl got %.80q; want %.80q", got, want)
	}
}

// text is a text message from a client.
func text(message string) string {
	return string(ws.MustCompileFrame(ws.MaskFrame(wstest.Text(message))))
}

var opensslSuites = map[string][]string{
	"TLS 1.3, AES-128":         {"-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"},
	"TLS 1.3, AES-256":         {"-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"},
	"TLS 1.3, ChaCha20":        {"-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"},
	"TLS 1.2, AES-128":         {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"},
	"TLS 1.2, AES-256":         {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	"TLS 1.2, ChaCha20":        {"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"},
	"TLS 1.3, another request": {"-tls1_3", "-groups", "X448:P-256"}, // the gateway does not know the first one
}

// Every suite, without a session to resume and with one, and changes of keys in
// every way in the middle of traffic.
func TestOpenSSLClientOverTLS(t *testing.T) {
	t.Parallel()
	need(t, "openssl", "version")
	for _, records := range settings {
		t.Run(records, func(all *testing.T) {
			all.Parallel()
			s := startSecured(all, records, "", wstest.Echo)
			open, closed := 0, 0
			for name, args := range opensslSuites {
				session := filepath.Join(all.TempDir(), "session.pem")
				args = append([]string{"s_client", "-brief", "-connect", s.https.Address, "-servername", "gateway.test", "-CAfile", s.ca, "-verify_return_error"}, args...)
				for _, how := range []string{"-sess_out", "-sess_in"} {
					all.Run(name+" "+how, func(t *testing.T) {
						o := runOpenSSL(all, append(args, how, session)...)
						o.t = t
						o.told("CONNECTION ESTABLISHED")
						o.write(wstest.Handshake("/ws/") + text("behind the handshake"))
						if head := o.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
							t.Fatal(head)
						}
						o.frame(ws.OpText, "behind the handshake")
						round := func(n int) {
							message := fmt.Sprintf("round %d %s", n, strings.Repeat("x", 3000))
							o.write(text(message) + text("short"))
							o.frame(ws.OpText, message)
							o.frame(ws.OpText, "short")
						}
						round(0)
						if strings.HasPrefix(name, "TLS 1.3") {
							for n, command := range []string{"k", "K", "k", "K"} {
								o.write(command + "\n")
								o.told("KEYUPDATE")
								round(n + 1)
							}
						}
						if how == "-sess_in" {
							open++
							return
						}
						o.write(string(ws.MustCompileFrame(ws.MaskFrame(wstest.Close(1000, "")))))
						o.frame(ws.OpClose, "\x03\xe8")
						if rest, err := io.ReadAll(o.out); len(rest) > 0 || err != nil {
							t.Errorf("behind the Close frame: %q, %v", rest, err)
						}
						closed++
					})
				}
			}
			ended := 0
			s.wait("session ended", func(record) bool { ended++; return ended == closed })
			want := 0
			if records == "go" || portable() {
				want = 2 * open
			}
			if n := s.pumps(); n != want {
				all.Errorf("%d goroutines serve the %d sessions that are open; want %d", n, open, want)
			}
		})
	}
}

// An openssl behind the gateway, with every suite. It does not say when it has changed keys;
// internal/record has tests of that.
func TestOpenSSLBackendOverTLS(t *testing.T) {
	t.Parallel()
	need(t, "openssl", "version")
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			for name, args := range opensslSuites {
				t.Run(name, func(t *testing.T) {
					ca := wstest.NewCA(t)
					cert, key := ca.Issue(t, "gateway.test", "127.0.0.1")
					if i := len(args) - 2; args[i] == "-groups" {
						args = []string{"-tls1_3", "-groups", "P-384"} // of which the gateway's hello has no share
					}
					o := runOpenSSL(t, append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key}, args...)...)
					address := strings.TrimSpace(strings.TrimPrefix(o.line("ACCEPT "), "ACCEPT "))
					g := startFile(t, fmt.Sprintf(`
listeners: ["127.0.0.1:0"]
tls: { self_signed: [gateway.test], records: %s }
log: { format: json }
state_dir: %q
backends:
  secure: { endpoints: ["wss://%s"], tls: { ca: %q } }
routes: [{ backend: secure }]
`, records, t.TempDir(), address, ca.File))
					handshake := wstest.Handshake("/")
					p := wstest.Dial(t, wstest.Target{Address: g.listener(false)})
					p.WriteString(handshake + string(p.Encode(wstest.Text("behind the handshake"))))
					o.line("Secure Renegotiation IS ") // the last thing that it says of itself
					head := wstest.Head{Lines: strings.Split(o.head(), "\r\n")}
					o.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
						wstest.AcceptKey(head.Get("Sec-WebSocket-Key")) + "\r\n\r\n" + string(ws.MustCompileFrame(wstest.Text("behind the answer"))))
					p.Opened(handshake)
					p.Expect(wstest.Text("behind the answer"))
					o.frame(ws.OpText, "behind the handshake")
					for n := range 5 {
						message := fmt.Sprintf("round %d %s", n, strings.Repeat("x", 3000))
						p.Send(wstest.Text(message))
						o.frame(ws.OpText, message)
						o.write(string(ws.MustCompileFrame(wstest.Text(message))))
						p.Expect(wstest.Text(message))
					}
					want := 0
					if records == "go" || portable() {
						want = 2
					}
					if n := g.pumps(); n != want {
						t.Errorf("%d goroutines serve the session; want %d", n, want)
					}
				})
			}
		})
	}
}
