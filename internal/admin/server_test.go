//go:build unix

package admin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

func TestListenersThatStayAreKept(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	options := Options{Socket: &o, Address: "127.0.0.1:0", Health: "localhost:0", Token: testToken}
	s := newTestServer(t, g, options)
	before := s.Addresses()
	if len(before) != 3 || before["unix"] != o.Path() {
		t.Fatalf("addresses: %v", before)
	}
	kept := dial(t, "tcp", before["tcp"])
	if r, body := answer(t, kept, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, body)
	}
	options.Token, options.Socket = "fedcba9876543210", &SocketOptions{Dir: o.Dir, Name: o.Name, Group: -1, Mode: 0o660}
	change(t, s, options)
	for kind, address := range s.Addresses() {
		if before[kind] != address {
			t.Errorf("%s was at %s and is at %s", kind, before[kind], address)
		}
	}
	if info, err := os.Stat(o.Path()); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v; want its new mode", info, err)
	}
	for token, want := range map[string]int{testToken: 401, options.Token: 200} {
		if r, body := ask(t, "tcp", before["tcp"], request("GET", "/status", "Authorization: Bearer "+token)); r.StatusCode != want {
			t.Errorf("with the token %s: %d %s, want %d", token, r.StatusCode, body, want)
		}
	}
	// A token that is no longer good is not good on a connection from before either.
	if r, body := answer(t, kept, request("GET", "/status", "Authorization: Bearer "+testToken)); r.StatusCode != 401 {
		t.Errorf("on a connection from before: %d %s, want 401", r.StatusCode, body)
	}
}

// A timedAnswer knows until when it may be written.
type timedAnswer struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (a *timedAnswer) SetWriteDeadline(until time.Time) error {
	a.until = until
	return nil
}

// Who ends many sessions is told so, however long that takes.
func TestTheTimeForAnAnswerBeginsWhenItIsMade(t *testing.T) {
	var made time.Time
	for _, failed := range []error{nil, wrong(io.EOF)} {
		e := endpoint{serve: func(*Server, *call) (any, error) { made = time.Now(); return Status{}, failed }}
		a := &timedAnswer{ResponseRecorder: httptest.NewRecorder()}
		new(Server).serve(a, httptest.NewRequest("GET", "/", nil), kindUnix, map[string]endpoint{"GET": e})
		if a.until.Before(made.Add(writeTimeout)) || a.Body.Len() == 0 {
			t.Errorf("%q may be written until %v, and was made at %v; want %v for it", a.Body, a.until, made, writeTimeout)
		}
	}
}

func TestListenersThatGoAreClosed(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o, Address: "127.0.0.1:0", Health: "127.0.0.1:0", Token: testToken})
	before := s.Addresses()
	change(t, s, Options{})
	if now := s.Addresses(); len(now) != 0 {
		t.Errorf("addresses: %v, want none", now)
	}
	s.Close() // waits for what is closed
	for _, kind := range []string{"tcp", "health"} {
		eventually(t, kind+" is closed", func() bool {
			c, err := net.Dial("tcp", before[kind])
			if err == nil {
				c.Close()
			}
			return err != nil
		})
	}
	eventually(t, "the socket and its lock are gone", func() bool { return names(t, o.Dir) == "" })
	change(t, s, Options{Socket: &o})
	if r, body := ask(t, "unix", o.Path(), request("GET", "/status")); r.StatusCode != 200 {
		t.Errorf("after it is back: %d %s", r.StatusCode, body)
	}
}

// A request that makes the change that closes its listener is answered.
func TestAChangeByTheListenerThatItCloses(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o})
	g.atReload = func() { change(t, s, Options{}) }
	if r, body := ask(t, "unix", o.Path(), request("POST", "/reload")); r.StatusCode != 200 || !strings.Contains(body, `"ok":true`) {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

func TestACancelledChangeChangesNothing(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o, Address: "127.0.0.1:0", Token: testToken})
	before := s.Addresses()
	other := SocketOptions{Dir: o.Dir, Name: "other.sock", Group: -1}
	c, err := s.Prepare(Options{Socket: &other, Health: "127.0.0.1:0", Token: "x", ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Cancel()
	if now := s.Addresses(); len(now) != 2 || now["tcp"] != before["tcp"] || now["unix"] != o.Path() {
		t.Errorf("addresses: %v, want %v", now, before)
	}
	if got, want := names(t, o.Dir), "s.sock s.sock.lock"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	if r, body := ask(t, "tcp", before["tcp"], request("POST", "/reload", "Authorization: Bearer "+testToken)); r.StatusCode != 200 {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

// What cannot be opened refuses the change, and nothing of it stays open.
func TestAChangeThatCannotBeMade(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, next := range []Options{{Address: taken.Addr().String()}, {Health: taken.Addr().String(), Address: "127.0.0.1:0"}} {
		if _, err := s.Prepare(next); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
			t.Fatalf("Prepare(%+v): %v, want an error that names the address", next, err)
		}
		if now := s.Addresses(); len(now) != 1 {
			t.Errorf("addresses: %v", now)
		}
	}
}

// Without its socket a gateway runs all the same, and says why.
func TestASocketThatCannotBeMade(t *testing.T) {
	s := NewServer(newFakeGateway(), log.New(io.Discard, "", 0))
	defer s.Close()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	c, err := s.Prepare(Options{Socket: &SocketOptions{Dir: dir, Name: "s.sock", Group: -1}, Health: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	c.Commit()
	if c.Warning == nil || !strings.Contains(c.Warning.Error(), dir) {
		t.Errorf("the warning is %v", c.Warning)
	}
	if now := s.Addresses(); len(now) != 1 || now["health"] == "" {
		t.Errorf("addresses: %v", now)
	}
}

// Listeners can be closed and opened again at once: nothing of the one before is in the way.
func TestListenersComeAndGo(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{})
	address := wstest.Reserve(t)
	for i := range 100 {
		change(t, s, Options{Socket: &o, Address: address, Token: testToken})
		if r, body := ask(t, "unix", o.Path(), request("GET", "/status")); r.StatusCode != 200 {
			t.Fatalf("round %d: %d %s", i, r.StatusCode, body)
		}
		change(t, s, Options{})
	}
}

// What one kind of listener has can become that of another kind.
func TestAnAddressChangesItsKind(t *testing.T) {
	s := newTestServer(t, newFakeGateway(), Options{})
	address := wstest.Reserve(t)
	change(t, s, Options{Address: address, Token: testToken})
	change(t, s, Options{Health: address})
	if r, body := ask(t, "tcp", address, request("GET", "/status")); r.StatusCode != 404 {
		t.Errorf("%d %s, want 404 of the health listener", r.StatusCode, body)
	}
}

// A socket that someone has removed is made again.
func TestARemovedSocketComesBack(t *testing.T) {
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, newFakeGateway(), Options{Socket: &o})
	if err := os.Remove(o.Path()); err != nil {
		t.Fatal(err)
	}
	change(t, s, Options{Socket: &o})
	if !answers(o.Path()) {
		t.Error("there is no socket after the change")
	}
}

func TestTLSGoesOnAndOff(t *testing.T) {
	ca, known := wstest.NewCA(t), clientCertificate(t)
	server := ca.Server(t, "localhost", "127.0.0.1")
	server.NextProtos = []string{"http/1.1"}
	g := newFakeGateway()
	options := Options{Address: "127.0.0.1:0", Token: testToken}
	s := newTestServer(t, g, options)
	address := s.Addresses()["tcp"]
	bearer := "Authorization: Bearer " + testToken
	plain := func() bool {
		c := dial(t, "tcp", address)
		io.WriteString(c, request("GET", "/status", bearer))
		text, _ := io.ReadAll(c)
		return strings.HasPrefix(string(text), "HTTP/1.1 200 ")
	}
	secure := func(client *tls.Config, lines ...string) (int, error) {
		c := tls.Client(dial(t, "tcp", address), client)
		if err := c.Handshake(); err != nil {
			return 0, err
		}
		io.WriteString(c, request("GET", "/status", lines...))
		text, err := io.ReadAll(c)
		if len(text) < 12 {
			return 0, err
		}
		return int(text[9]-'0')*100 + int(text[10]-'0')*10 + int(text[11]-'0'), nil
	}
	trusting := ca.Client("localhost")
	if !plain() {
		t.Error("without TLS: no answer")
	}
	options.TLS = server
	change(t, s, options)
	if s.Addresses()["tcp"] != address {
		t.Errorf("the address has changed to %s", s.Addresses()["tcp"])
	}
	if plain() {
		t.Error("with TLS: an answer to plain HTTP")
	}
	for want, lines := range map[int][]string{200: {bearer}, 401: nil} {
		if got, err := secure(trusting, lines...); got != want {
			t.Errorf("with TLS and %q: %d, %v; want %d", lines, got, err, want)
		}
	}

	withClients := server.Clone()
	withClients.ClientCAs, withClients.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
	withClients.ClientCAs.AddCert(known.Leaf)
	options.TLS = withClients
	change(t, s, options)
	with := func(pair tls.Certificate) *tls.Config {
		c := trusting.Clone()
		// The whole chain is sent whatever authorities the server names.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return c
	}
	if got, err := secure(with(known)); got != 200 {
		t.Errorf("a client certificate: %d, %v; want 200", got, err)
	}
	if got, _ := secure(with(clientCertificate(t))); got == 200 {
		t.Error("a client certificate of another authority was accepted")
	}
	if got, err := secure(trusting, bearer); got != 200 {
		t.Errorf("a token where client certificates are known: %d, %v; want 200", got, err)
	}
	if got, err := secure(trusting); got != 401 {
		t.Errorf("neither: %d, %v; want 401", got, err)
	}
	options.TLS = nil
	change(t, s, options)
	if !plain() {
		t.Error("after TLS is gone: no answer")
	}
}

// clientCertificate returns a certificate for clients that has signed itself.
func clientCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "operator"}, NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Connections that send nothing, however many, keep no one from asking.
func TestIdleConnectionsAreNoObstacle(t *testing.T) {
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, newFakeGateway(), Options{Socket: &o, Address: "127.0.0.1:0", Health: "127.0.0.1:0", Token: testToken})
	all := s.Addresses()
	for _, kind := range []string{"tcp", "health"} {
		for range 300 {
			dial(t, "tcp", all[kind])
		}
		if r, body := ask(t, "tcp", all[kind], request("GET", "/healthz")); r.StatusCode != 200 {
			t.Errorf("%s with 300 connections: %d %s", kind, r.StatusCode, body)
		}
	}
	if r, body := ask(t, "unix", o.Path(), request("GET", "/status")); r.StatusCode != 200 {
		t.Errorf("the Unix socket beside them: %d %s", r.StatusCode, body)
	}
}

func TestCloseCutsWhatIsLeft(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o})
	hold := make(chan struct{})
	defer close(hold)
	entered := make(chan struct{})
	g.atReload = func() { close(entered); <-hold }
	c := dial(t, "unix", o.Path())
	io.WriteString(c, request("POST", "/reload"))
	<-entered
	s.Close()
	if text, err := io.ReadAll(c); len(text) > 0 {
		t.Errorf("%q, %v after Close", text, err)
	}
}
