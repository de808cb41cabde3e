package integration

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// authority is Pebble, the ACME server that Let's Encrypt tests clients with.
type authority struct {
	Directory string
	Root      string // PEM file, of Directory's own certificate
	t         *testing.T
	manager   string // URL
	client    *http.Client
	stop      func()

	mu     sync.Mutex
	orders int // as its log says
}

// options say how an authority behaves.
type options struct {
	tlsPort, httpPort string        // where it comes to check challenges
	validity          time.Duration // 0: long
	eab               map[string]string
	env               []string
}

// nowhere is a port that nothing listens on.
const nowhere = "1"

// ports returns addresses on loopback that the test may use. Where the gateway listens has to
// be known before it does.
func ports(t *testing.T, n int) []string {
	t.Helper()
	var own []string
	for range n {
		own = append(own, wstest.Reserve(t))
	}
	return own
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// pebble starts an authority for which every name leads to 127.0.0.1.
func pebble(t *testing.T, o options) *authority {
	t.Helper()
	needCommands(t, "pebble", "pebble-challtestsrv")
	own, dir := wstest.NewCA(t), t.TempDir()
	cert, key := own.Issue(t, "127.0.0.1")
	free := ports(t, 4)
	number := func(port string) int {
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": free[0], "managementListenAddress": free[1], "certificate": cert, "privateKey": key,
		"tlsPort": number(o.tlsPort), "httpPort": number(o.httpPort), "certificateValidityPeriod": int(o.validity / time.Second),
		"externalAccountBindingRequired": o.eab != nil, "externalAccountMACKeys": o.eab,
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	write(t, file, string(config))
	a := &authority{
		Directory: "https://" + free[0] + "/dir", Root: own.File, t: t, manager: "https://" + free[1],
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: own.Client("127.0.0.1"), DisableKeepAlives: true}, Timeout: wstest.Guard},
	}
	run := func(line func(string), env []string, name string, args ...string) (stop func()) {
		cmd := wstest.DieWithParent(exec.Command(name, args...))
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		read := make(chan struct{})
		go func() {
			defer close(read)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				said.WriteString(lines.Text() + "\n")
				line(lines.Text())
			}
		}()
		stop = sync.OnceFunc(func() {
			_ = cmd.Process.Kill()
			<-read
			_ = cmd.Wait() // killed: nothing to learn
		})
		t.Cleanup(func() {
			stop()
			if t.Failed() {
				t.Logf("%s wrote:\n%s", name, &said)
			}
		})
		return stop
	}
	run(func(string) {}, nil, "pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
		"-dns01", free[2], "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", free[3])
	count := regexp.MustCompile(`There are now (\d+) orders in the db`)
	env := append([]string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT=0"}, o.env...)
	a.stop = run(func(line string) {
		if m := count.FindStringSubmatch(line); m != nil {
			a.mu.Lock()
			a.orders = number(m[1])
			a.mu.Unlock()
		}
	}, env, "pebble", "-config", file, "-dnsserver", free[2])
	for deadline := time.Now().Add(wstest.Guard); ; {
		if _, err = a.client.Get(a.Directory); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("pebble does not answer: %v", err)
		}
	}
	return a
}

func (a *authority) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

// roots returns the authorities to which the certificates of Pebble lead.
func (a *authority) roots() *x509.CertPool {
	a.t.Helper()
	res, err := a.client.Get(a.manager + "/roots/0")
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		a.t.Fatalf("no root in %q", text)
	}
	return pool
}

// site is a configuration that orders certificates for hosts.
type site struct {
	http, https, state string
}

func newSite(t *testing.T) site {
	t.Helper()
	free := ports(t, 2)
	return site{http: free[0], https: free[1], state: t.TempDir()}
}

func (s site) config(directory, root, more string, hosts ...string) string {
	var routes strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&routes, "  - { host: %s, respond: { body: '<h1>%s</h1>', content_type: text/html } }\n", h, h)
	}
	return fmt.Sprintf(`
listeners:
  - { address: %q, redirect_https: true }
  - { address: %q, tls: true }
tls:
  acme: { directory: %q, root_ca: %q, email: ops@example.com }
%s
log: { format: json }
state_dir: %q
shutdown_timeout: 15s
routes:
%s`, s.http, s.https, directory, root, more, s.state, &routes)
}

// issued waits until there is a certificate for host.
func issued(g *gateway, host string) record {
	g.t.Helper()
	return g.wait("certificate issued", about(host))
}

func about(host string) func(record) bool {
	return func(r record) bool {
		names, _ := r["names"].([]any)
		return slices.Contains(names, any(host))
	}
}

// greet makes a handshake for host.
func greet(address, host string, roots *x509.CertPool, version uint16) (*x509.Certificate, error) {
	d := &net.Dialer{Timeout: wstest.Guard}
	c, err := tls.DialWithDialer(d, "tcp", address, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: version, MaxVersion: version})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// The certificates are there before the first client: one that comes when the CA is gone
// already gets them, over every protocol.
func TestCertificatesAreOrderedBeforeTheFirstVisitor(t *testing.T) {
	t.Parallel()
	three, one := []string{"gateway.test", "b.example.com", "c.example.com"}, []string{"a.example.com"}
	tests := []struct {
		name   string
		hosts  []string
		plain  bool // the CA reaches the plain listener only
		eab    map[string]string
		env    []string
		orders int
	}{
		{name: "TLS-ALPN-01", hosts: three, orders: 3},
		// An order that failed is not used again: one more for each name.
		{name: "HTTP-01", hosts: three, plain: true, orders: 6},
		{name: "with an account of its own", hosts: one, eab: map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}, orders: 1},
		{name: "rejecting nonces", hosts: one, env: []string{"PEBBLE_WFE_NONCEREJECT=30"}, orders: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, hosts := newSite(t), tt.hosts
			o := options{tlsPort: port(s.https), httpPort: nowhere, eab: tt.eab, env: tt.env}
			if tt.plain {
				o.tlsPort, o.httpPort = nowhere, port(s.http)
			}
			ca := pebble(t, o)
			text := s.config(ca.Directory, ca.Root, "", hosts...)
			for id, key := range tt.eab {
				text = strings.Replace(text, "email:", fmt.Sprintf("eab: { key_id: %s, hmac_key: %s }, email:", id, key), 1)
			}
			g := startFile(t, text)
			for _, host := range hosts {
				issued(g, host)
			}
			if got := ca.count(); got != tt.orders {
				t.Errorf("%d orders, want %d", got, tt.orders)
			}
			roots := ca.roots()
			ca.stop()
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				for _, host := range hosts {
					c, err := greet(s.https, host, roots, version)
					if err != nil || c.PublicKeyAlgorithm != x509.ECDSA {
						t.Errorf("first handshake for %s over %s: %v", host, tls.VersionName(version), err)
					}
				}
			}
			if tt.name == "TLS-ALPN-01" {
				v := browse(t, wstest.Target{Address: s.https, TLS: &tls.Config{ServerName: "gateway.test", RootCAs: roots}},
					"https://gateway.test:"+port(s.https)+"/", nil)
				if v.Status != 200 || v.Heading != "gateway.test" {
					t.Errorf("Chromium: status %d, heading %q", v.Status, v.Heading)
				}
			}
			g.end()

			// The cache has all: after a restart nothing is ordered.
			again := startFile(t, text)
			for _, host := range hosts {
				if _, err := greet(s.https, host, roots, tls.VersionTLS13); err != nil {
					t.Errorf("handshake for %s after a restart: %v", host, err)
				}
			}
			again.end()
			for _, r := range again.log() {
				if strings.HasPrefix(r.name(), "certificate") {
					t.Errorf("after a restart: %s", r.text("text"))
				}
			}
		})
	}
}

func TestCertificatesAreRenewed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := pebble(t, options{tlsPort: port(s.https), httpPort: nowhere, validity: 12 * time.Second})
	g := startFile(t, s.config(ca.Directory, ca.Root, "", "a.example.com", "b.example.com"))
	hosts := []string{"a.example.com", "b.example.com"}
	first := make(map[string]*x509.Certificate)
	for _, host := range hosts {
		issued(g, host)
		c, err := greet(s.https, host, ca.roots(), tls.VersionTLS13)
		if err != nil {
			t.Fatal(err)
		}
		first[host] = c
	}
	for _, host := range hosts {
		g.wait("certificate renewed", about(host))
		next, err := greet(s.https, host, ca.roots(), tls.VersionTLS13)
		if err != nil || next.Equal(first[host]) {
			t.Errorf("%s after its renewal: %v, the same %t", host, err, err == nil && next.Equal(first[host]))
		}
	}
}

// A host that is added by a reload gets its certificate; the account stays.
func TestReloadOrdersForNewHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := pebble(t, options{tlsPort: port(s.https), httpPort: nowhere})
	g := startFile(t, s.config(ca.Directory, ca.Root, "", "a.example.com"))
	issued(g, "a.example.com")
	g.reload("configuration reloaded", "routes:\n", "routes:\n  - { host: b.example.com, respond: 204 }\n")
	issued(g, "b.example.com")
	if got := ca.count(); got != 2 {
		t.Errorf("%d orders, want 2", got)
	}
	for _, host := range []string{"a.example.com", "b.example.com"} {
		if _, err := greet(s.https, host, ca.roots(), tls.VersionTLS13); err != nil {
			t.Errorf("handshake for %s: %v", host, err)
		}
	}
}

// When an order fails, the log has its reason and the time of the next one. It is not repeated
// before, and other names are not affected.
func TestFailedOrders(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	tests := []struct {
		name      string
		directory func(t *testing.T, s site) (directory, root string, orders func() int)
		reason    string
		orders    int
		after     time.Duration // until the next
	}{
		{"refused", func(t *testing.T, s site) (string, string, func() int) {
			ca := pebble(t, options{tlsPort: nowhere, httpPort: nowhere})
			return ca.Directory, ca.Root, ca.count
		}, "connection refused", 4, 15 * time.Minute}, // two names, two challenges each
		{"down", func(t *testing.T, s site) (string, string, func() int) {
			return "https://" + ports(t, 1)[0] + "/dir", wstest.NewCA(t).File, nil
		}, "connection refused", 0, 2 * time.Minute},
		{"hanging", func(t *testing.T, s site) (string, string, func() int) {
			return "https://" + silent.Addr().String() + "/dir", wstest.NewCA(t).File, nil
		}, "cannot be reached", 0, 2 * time.Minute},
		{"forbidding", func(t *testing.T, s site) (string, string, func() int) {
			own := wstest.NewCA(t)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"type": "urn:ietf:params:acme:error:unauthorized", "detail": "go away"}`)
			}))
			server.TLS = own.Server(t, "127.0.0.1")
			server.StartTLS()
			t.Cleanup(server.Close)
			return server.URL, own.File, nil
		}, "go away", 0, 2 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			directory, root, orders := tt.directory(t, s)
			ca := wstest.NewCA(t)
			cert, key := ca.Issue(t, "file.example.com")
			g := startFile(t, s.config(directory, root, fmt.Sprintf("  certificates: [{ cert: %q, key: %q }]", cert, key),
				"file.example.com", "a.example.com", "b.example.com"))
			works := func() {
				t.Helper()
				pool := ca.Client("").RootCAs
				if _, err := greet(s.https, "file.example.com", pool, tls.VersionTLS13); err != nil {
					t.Errorf("a host with a certificate: %v", err)
				}
				if _, err := greet(s.https, "a.example.com", pool, tls.VersionTLS13); err == nil {
					t.Error("a host without a certificate got one")
				}
			}
			works()
			began := time.Now()
			for _, host := range []string{"a.example.com", "b.example.com"} {
				r := g.wait("certificate order failed", about(host))
				next, err := time.Parse(time.RFC3339, r.text("next"))
				if !strings.Contains(r.text("error"), tt.reason) || err != nil || next.Before(began.Add(tt.after-time.Second)) {
					t.Errorf("the log says %s; want %q and the next try after %v", r.text("text"), tt.reason, tt.after)
				}
				if tt.name == "hanging" {
					break // the other's turn comes as late again
				}
			}
			works()
			if orders != nil && orders() != tt.orders {
				t.Errorf("%d orders, want %d", orders(), tt.orders)
			}
		})
	}
}

func TestTwoGatewaysOnOneCacheOrderOnce(t *testing.T) {
	t.Parallel()
	s, other := newSite(t), newSite(t)
	ca := pebble(t, options{tlsPort: port(s.https), httpPort: nowhere})
	other.state = s.state
	hosts := []string{"a.example.com", "b.example.com", "c.example.com"}
	// The names lead to the first of them, which answers for both.
	for _, one := range []site{s, other} {
		startFile(t, one.config(ca.Directory, ca.Root, "", hosts...))
	}
	deadline := time.Now().Add(2 * wstest.Guard)
	for _, one := range []site{s, other} {
		for _, host := range hosts {
			for {
				_, err := greet(one.https, host, ca.roots(), tls.VersionTLS13)
				if err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s at %s: %v", host, one.https, err)
				}
			}
		}
	}
	if got := ca.count(); got != len(hosts) {
		t.Errorf("%d orders for %d names", got, len(hosts))
	}
}

func TestCheckNamesRoutesThatACMECannotServe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	check := func(acme, routes string) (string, int) {
		write(t, file, fmt.Sprintf("tls: { acme: %s }\nstate_dir: %q\nroutes:\n%s", acme, t.TempDir(), routes))
		return sluice(t, "check", "--config", file)
	}
	good := "  - { host: a.example.com, respond: 204 }\n"
	tests := []struct {
		name, acme, routes, want string
		code                     int
	}{
		{"host", "true", good, "is good", 0},
		{"wildcard", "true", good + "  - { host: '*.example.com', respond: 204 }", "routes[1].host: *.example.com: a wildcard certificate cannot be ordered", 1},
		{"wildcard whose names are listed", "{ hosts: [b.example.com] }", good + "  - { host: '*.example.com', respond: 204 }", "is good", 0},
		{"address", "true", good + "  - { host: 192.0.2.1, respond: 204 }", "routes[1].host: 192.0.2.1: certificates for IP addresses are not ordered", 1},
		{"no dot", "true", good + "  - { host: intranet, respond: 204 }", "routes[1].host: intranet: no public CA", 1},
		{"no host beside others", "true", good + "  - { respond: 204 }", "warning: routes[1] (line 5): there is no host to order", 0},
		{"no host alone", "true", "  - { respond: 204 }", "routes[0]: there is no host to order a certificate for, and nothing else has a certificate", 1},
		{"no host, names listed", "{ hosts: [a.example.com] }", "  - { respond: 204 }", "is good", 0},
	}
	for _, tt := range tests {
		if text, code := check(tt.acme, tt.routes); code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("%s: check exits with %d and says %q; want %d, %q", tt.name, code, text, tt.code, tt.want)
		}
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	file, state, home := filepath.Join(t.TempDir(), "sluice.yaml"), t.TempDir(), t.TempDir()
	root := filepath.Join(state, "ca", "root.pem")
	configs := map[string]string{
		"self-signed": fmt.Sprintf("tls: { self_signed: [localhost] }\nstate_dir: %q\nroutes: [{ respond: 204 }]", state),
		"no CA":       "routes: [{ respond: 204 }]",
	}
	// A system without authorities of its own, and a browser with its database.
	bin, database := filepath.Join(home, "bin"), filepath.Join(home, ".pki", "nssdb")
	for _, dir := range []string{bin, database} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(database, "cert9.db"), "")
	certutil := filepath.Join(bin, "certutil")
	write(t, certutil, "#!/bin/sh\necho \"$*\" >> "+filepath.Join(home, "called")+"\n")
	if err := os.Chmod(certutil, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, config string
		args         []string
		code         int
		want         []string
	}{
		{"before the first run", "self-signed", []string{"trust"}, 1, []string{"no root yet", "'sluice run'"}},
		{"a check makes none", "self-signed", []string{"check"}, 0, nil},
		{"still before the first run", "self-signed", []string{"trust"}, 1, []string{"no root yet"}},
		{"how to", "self-signed", []string{"trust"}, 0, []string{root, "update-ca-certificates", "certutil -A"}},
		{"install", "self-signed", []string{"trust", "--install"}, 1, []string{"there is no update-ca-certificates here", "Added to " + database}},
		{"no CA", "no CA", []string{"trust", "--install"}, 1, []string{"there is no local CA"}},
	}
	for _, tt := range tests {
		if tt.name == "how to" {
			startFile(t, "listeners: [{ address: 127.0.0.1:0, tls: true }]\n"+configs["self-signed"])
		}
		write(t, file, configs[tt.config])
		cmd := command(t, executable, append(tt.args, "--config", file)...)
		cmd.Env = append(environment(), "HOME="+home, "PATH="+bin)
		text, _ := cmd.CombinedOutput() // its exit code says as much
		if code := cmd.ProcessState.ExitCode(); code != tt.code {
			t.Errorf("%s: exit code %d, want %d: %s", tt.name, code, tt.code, text)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: says %q, want %q", tt.name, text, want)
			}
		}
	}
	if called := read(t, filepath.Join(home, "called")); !strings.Contains(called, "-A -d sql:"+database+" -t C,,") || !strings.Contains(called, "-i "+root) {
		t.Errorf("certutil was called with %q", called)
	}
}
