package integration

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sluice/internal/wstest"
)

// Certificate files are replaced a hundred times under load, in the ways that
// tools replace them and with broken ones in between: no handshake fails.
func TestCertificateFilesAreSwappedUnderLoad(t *testing.T) {
	t.Parallel()
	ca, dir := wstest.NewCA(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) { // as Kubernetes swaps a mounted secret
		t.Helper()
		if err := os.Symlink(target, at("new")); err != nil {
			t.Fatal(err)
		}
		rename(at("new"), name)
	}
	var versions []string // directories with tls.crt and tls.key
	version := func(cert, key string) string {
		v := at(fmt.Sprintf("..v%d", len(versions)))
		if err := os.Mkdir(v, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(v, "tls.crt"), cert)
		write(t, filepath.Join(v, "tls.key"), key)
		versions = append(versions, v)
		return v
	}
	fresh := func() (cert, key string) {
		certFile, keyFile := ca.Issue(t, "linked.test")
		return read(t, certFile), read(t, keyFile)
	}
	link(version(fresh()), at("..data"))
	link(filepath.Join("..data", "tls.crt"), at("tls.crt"))
	link(filepath.Join("..data", "tls.key"), at("tls.key"))
	plainCert, plainKey := ca.Issue(t, "gateway.test")

	g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", tls: true }]
tls: { certificates: [{ cert: %q, key: %q }, { cert: %q, key: %q }] }
log: { format: json, access: false }
state_dir: %q
routes: [{ respond: 204 }]
`, plainCert, plainKey, at("tls.crt"), at("tls.key"), t.TempDir()))
	address := g.listener(true)
	roots := ca.Client("").RootCAs

	stop := make(chan struct{})
	var load sync.WaitGroup
	for _, host := range []string{"gateway.test", "linked.test", "gateway.test", "linked.test"} {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := greet(address, host, roots, tls.VersionTLS12+uint16(n%2)); err != nil {
					t.Errorf("handshake %d for %s: %v", n, host, err)
					return
				}
			}
		})
	}
	defer load.Wait()
	defer close(stop)

	replace := func(file, text string) {
		write(t, file+".new", text)
		rename(file+".new", file)
	}
	for round := range 100 {
		cert, key := fresh()
		switch round % 4 {
		case 1:
			link(version(cert, "no key"), at("..data"))
			replace(plainCert, "")
		case 2:
			_, other := fresh()
			link(version(cert, other), at("..data"))
			write(t, plainKey, "cut in half")
		default:
			link(version(cert, key), at("..data"))
			certFile, keyFile := ca.Issue(t, "gateway.test")
			replace(plainKey, read(t, keyFile))
			replace(plainCert, read(t, certFile))
		}
		// From time to time the gateway has a chance to see the files.
		if round == 2 || round == 50 {
			g.wait("changed file refused", func(r record) bool { return r.text("from") == at("tls.crt") })
		}
		if round == 99 {
			g.wait("certificate file reloaded", func(r record) bool { return r.text("from") == at("tls.crt") })
			g.wait("certificate file reloaded", func(r record) bool { return r.text("from") == plainCert })
		}
	}

	// The newest is served, and each mistake is in the log once, not every second.
	want := certificate(t, at("tls.crt"))
	for {
		got, err := greet(address, "linked.test", roots, tls.VersionTLS13)
		if err != nil {
			t.Fatal(err)
		}
		if got.Equal(want) {
			break
		}
	}
	said := map[string]int{}
	for _, r := range g.log() {
		if r.name() == "changed file refused" {
			said[r.text("from")+r.text("error")]++
		}
	}
	for text, n := range said {
		if n > 10 {
			t.Errorf("said %d times: %s", n, text)
		}
	}
}

func TestOpenSSL(t *testing.T) {
	t.Parallel()
	need(t, "openssl", "version")
	g := start(t, "routes: [{ respond: 204 }]")
	tests := []struct {
		name string
		args []string
		want string // "" means that it must not connect
	}{
		{"TLS 1.3", []string{"-tls1_3"}, "TLSv1.3"},
		{"TLS 1.2", []string{"-tls1_2"}, "TLSv1.2"},
		{"TLS 1.1", []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, ""},
		{"HTTP/2", []string{"-alpn", "h2,http/1.1"}, "ALPN protocol: h2"},
		{"HTTP/1.1", []string{"-alpn", "http/1.1"}, "ALPN protocol: http/1.1"},
		{"P-256", []string{"-groups", "P-256"}, "Verify return code: 0 (ok)"},
		{"no suite in common", []string{"-tls1_2", "-cipher", "AES128-SHA256:@SECLEVEL=0"}, ""},
	}
	for _, tt := range tests {
		args := append([]string{"s_client", "-connect", g.https.Address, "-servername", "gateway.test", "-CAfile", g.ca, "-verify_return_error"}, tt.args...)
		cmd := command(t, "openssl", args...)
		cmd.Stdin = strings.NewReader("Q\n")
		text, err := cmd.CombinedOutput()
		if (err == nil) != (tt.want != "") || !strings.Contains(string(text), tt.want) {
			t.Errorf("%s: %v, want %q in\n%s", tt.name, err, tt.want, text)
		}
	}
}

// testssl.sh finds nothing worse than LOW, except that the root is not a public one. It
// takes minutes, most of them in its shell script: make testssl runs it, not make test.
func TestTestssl(t *testing.T) {
	if os.Getenv("SLUICE_TESTSSL") == "" {
		t.Skip("it takes minutes: make testssl runs it")
	}
	needCommands(t, "testssl")
	g := start(t, "routes: [{ respond: 204, security: true }]")
	out := filepath.Join(t.TempDir(), "found.json")
	cmd := command(t, "testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none",
		"--ip", "127.0.0.1", "--jsonfile", out, "--add-ca", g.ca, "--connect-timeout", "10", "--openssl-timeout", "10",
		"--protocols", "--std", "--fs", "--server-defaults", "--renegotiation", "--heartbleed", "--ccs-injection",
		"--ticketbleed", "--crime", "--sweet32", "--freak", "gateway.test:"+port(g.https.Address))
	text, _ := cmd.CombinedOutput() // its exit code counts findings of every kind
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal([]byte(read(t, out)), &findings); err != nil || len(findings) < 30 {
		t.Fatalf("testssl: %d findings, %v\n%s", len(findings), err, text)
	}
	excused := map[string]bool{
		"cert_chain_of_trust": true, "cert_revocation": true, // a root of the test's own
		"cert_notAfter": true, "cert_validityPeriod": true, "scanTime": true,
	}
	for _, f := range findings {
		switch f.Severity {
		case "MEDIUM", "HIGH", "CRITICAL", "FATAL":
			if !excused[strings.Fields(f.ID)[0]] {
				t.Errorf("%s: %s: %s", f.Severity, f.ID, f.Finding)
			}
		}
	}
}

// A client resumes its session after a reload and after a restart, and not when
// the keys are gone.
func TestSessionsAreResumed(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	address, state := ports(t, 1)[0], t.TempDir()
	text := fmt.Sprintf(`
listeners: [{ address: %q, tls: true }]
tls: { certificates: [{ cert: %q, key: %q }] }
log: { format: json }
state_dir: %q
routes: [{ respond: 204 }]
`, address, cert, key, state)
	client := ca.Client("gateway.test")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	expect := func(step string, want bool) {
		t.Helper()
		p := wstest.Dial(t, wstest.Target{Address: address, TLS: client})
		p.WriteString(get("/"))
		p.Answer(get("/")) // TLS 1.3 brings its tickets with the answer
		if got := p.Conn.Conn.(*tls.Conn).ConnectionState().DidResume; got != want {
			t.Errorf("%s: resumed %t, want %t", step, got, want)
		}
	}
	g := startFile(t, text)
	expect("first", false)
	expect("second", true)
	g.reload("configuration reloaded", "respond: 204", "respond: 200")
	expect("after a reload", true)
	g.end()
	g = startFile(t, text)
	expect("after a restart", true)
	g.end()
	keys := filepath.Join(state, "tickets")
	if info, err := os.Stat(keys); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("session ticket keys: %v, %v; want mode 0600", info, err)
	}
	if err := os.Remove(keys); err != nil {
		t.Fatal(err)
	}
	startFile(t, text)
	expect("without the keys", false)
}

// A connection may carry requests for every host that its certificate covers, and for no
// other.
func TestMisdirectedRequests(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	files := func(names ...string) string {
		cert, key := ca.Issue(t, names...)
		return fmt.Sprintf("{ cert: %q, key: %q }", cert, key)
	}
	b := wstest.NewBackend(t, wstest.Echo)
	g := startFile(t, fmt.Sprintf(`
listeners: ["127.0.0.1:0", { address: "localhost:0", tls: true }]
tls: { certificates: [%s, %s] }
log: { format: json }
state_dir: %q
routes: [{ respond: 204 }, { path: /ws, backend: %s }]
`, files("a.test", "b.test", "*.wild.test"), files("c.test"), t.TempDir(), b.Address))
	roots := ca.Client("").RootCAs
	tests := []struct {
		server, host string
		want         int
	}{
		{"a.test", "a.test", 204},
		{"A.Test", "a.test:443", 204},
		{"a.test", "A.TEST.", 204},
		{"a.test", "b.test", 204},
		{"a.test", "x.wild.test", 204},
		{"x.wild.test", "b.test", 204},
		{"a.test", "x.y.wild.test", 421},
		{"a.test", "c.test", 421},
		{"c.test", "a.test", 421},
		{"a.test", "unknown.test", 421},
		{"a.test", "192.0.2.1", 421},
		{"", "c.test", 204}, // a client that sends no server name
	}
	for _, tt := range tests {
		target := wstest.Target{Address: g.listener(true), TLS: &tls.Config{ServerName: tt.server, RootCAs: roots, InsecureSkipVerify: tt.server == ""}}
		request := strings.Replace(get("/"), "gateway.test", tt.host, 1)
		if r, _ := wstest.Ask(t, target, request); r.StatusCode != tt.want {
			t.Errorf("server name %q, Host %q: status %d, want %d", tt.server, tt.host, r.StatusCode, tt.want)
		}
	}
	target := wstest.Target{Address: g.listener(true), TLS: &tls.Config{ServerName: "a.test", RootCAs: roots}}
	if r, _ := wstest.Ask(t, target, wstest.Handshake("/ws", "Host: c.test")); r.StatusCode != 421 {
		t.Errorf("handshake: status %d, want 421", r.StatusCode)
	}
	if r, _ := wstest.Ask(t, wstest.Target{Address: g.listener(false)}, strings.Replace(get("/"), "gateway.test", "c.test", 1)); r.StatusCode != 204 {
		t.Errorf("in the clear: status %d, want 204", r.StatusCode)
	}
}

// poolOf returns a pool of the certificates in a PEM file.
func poolOf(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(read(t, file))) {
		t.Fatalf("%s holds no certificate", file)
	}
	return pool
}
