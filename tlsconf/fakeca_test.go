package tlsconf

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/wstest/certtest"
)

// fakeCA is an ACME server without a network, for tests with fake time. It checks
// no signatures.
type fakeCA struct {
	t    *testing.T
	life time.Duration // of certificates
	slow time.Duration // for an answer

	offers []string // types of challenges
	token  string   // of challenges
	issues func()   // called before a certificate is sent; may be nil

	mu       sync.Mutex
	down     bool
	refuses  map[string]string // names whose challenges fail, and why
	busy     string            // Retry-After of a 429 to every order; "" for none
	names    []string          // of orders
	ordered  map[string][]time.Time
	decided  map[int]bool // authorizations that were checked
	issued   map[int][]byte
	requests int
}

func newFakeCA(t *testing.T) *fakeCA {
	return &fakeCA{
		t: t, life: 6 * 24 * time.Hour, offers: []string{"http-01", "tls-alpn-01"}, token: "token", refuses: make(map[string]string),
		ordered: make(map[string][]time.Time), decided: make(map[int]bool), issued: make(map[int][]byte),
	}
}

// change calls f with the lock held, to change the CA while it is in use.
func (c *fakeCA) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// orders returns the times at which certificates for a name were ordered.
func (c *fakeCA) orders(name string) []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ordered[name]
}

func (c *fakeCA) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(c.slow) // of faked time
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	var payload []byte
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body.Close()
		var jws struct{ Payload string }
		if r.Method == http.MethodPost && json.Unmarshal(body, &jws) != nil {
			return nil, errors.New("not a JWS")
		}
		payload, _ = base64.RawURLEncoding.DecodeString(jws.Payload)
	}
	if c.down {
		return nil, errors.New("no route to host")
	}
	w := httptest.NewRecorder()
	w.Header().Set("Replay-Nonce", strconv.Itoa(c.requests))
	w.Header().Set("Content-Type", "application/json")
	c.serve(w, r, payload)
	return w.Result(), nil
}

const fakeURL = "https://ca.test"

func (c *fakeCA) serve(w http.ResponseWriter, r *http.Request, payload []byte) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	number := 0
	if len(parts) > 1 {
		number, _ = strconv.Atoi(parts[1])
	}
	reply := func(status int, body map[string]any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	switch parts[0] {
	case "dir":
		reply(200, map[string]any{"newNonce": fakeURL + "/nonce", "newAccount": fakeURL + "/account", "newOrder": fakeURL + "/new-order"})
	case "account":
		w.Header().Set("Location", fakeURL+"/account/1")
		reply(201, map[string]any{"status": "valid"})
	case "new-order":
		var o struct{ Identifiers []struct{ Value string } }
		if err := json.Unmarshal(payload, &o); err != nil {
			c.t.Errorf("order: %v", err)
			return
		}
		if c.busy != "" {
			w.Header().Set("Retry-After", c.busy)
			w.Header().Set("Content-Type", "application/problem+json")
			reply(429, map[string]any{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"})
			return
		}
		name := o.Identifiers[0].Value
		c.names = append(c.names, name)
		c.ordered[name] = append(c.ordered[name], time.Now())
		w.Header().Set("Location", fmt.Sprintf("%s/order/%d", fakeURL, len(c.names)-1))
		reply(201, c.order(len(c.names)-1))
	case "order":
		reply(200, c.order(number))
	case "challenge":
		c.decided[number] = true
		reply(200, map[string]any{"type": parts[2], "url": fakeURL + r.URL.Path, "status": "processing", "token": "token"})
	case "authz":
		reply(200, c.authorization(number))
	case "finalize":
		var f struct{ CSR string }
		der, _ := base64.RawURLEncoding.DecodeString(c.csr(payload, &f))
		c.issue(number, der)
		reply(200, c.order(number))
	case "cert":
		if c.issues != nil {
			c.issues()
		}
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(c.issued[number])
	}
}

func (c *fakeCA) csr(payload []byte, f *struct{ CSR string }) string {
	if err := json.Unmarshal(payload, f); err != nil {
		c.t.Errorf("finalize: %v", err)
	}
	return f.CSR
}

func (c *fakeCA) status(n int) string {
	switch {
	case !c.decided[n]:
		return "pending"
	case c.refuses[c.names[n]] != "":
		return "invalid"
	}
	return "valid"
}

func (c *fakeCA) order(n int) map[string]any {
	o := map[string]any{
		"status":         map[string]string{"pending": "pending", "valid": "ready", "invalid": "invalid"}[c.status(n)],
		"identifiers":    []any{map[string]string{"type": "dns", "value": c.names[n]}},
		"authorizations": []string{fmt.Sprintf("%s/authz/%d", fakeURL, n)},
		"finalize":       fmt.Sprintf("%s/finalize/%d", fakeURL, n),
	}
	if c.issued[n] != nil {
		o["status"], o["certificate"] = "valid", fmt.Sprintf("%s/cert/%d", fakeURL, n)
	}
	return o
}

func (c *fakeCA) authorization(n int) map[string]any {
	var challenges []any
	for _, kind := range c.offers {
		challenge := map[string]any{"type": kind, "url": fmt.Sprintf("%s/challenge/%d/%s", fakeURL, n, kind), "status": c.status(n), "token": c.token}
		if why := c.refuses[c.names[n]]; why != "" && c.decided[n] {
			challenge["error"] = map[string]string{"type": "urn:ietf:params:acme:error:connection", "detail": why}
		}
		challenges = append(challenges, challenge)
	}
	return map[string]any{
		"identifier": map[string]string{"type": "dns", "value": c.names[n]}, "status": c.status(n), "challenges": challenges,
	}
}

func (c *fakeCA) issue(n int, csr []byte) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		c.t.Errorf("finalize: %v", err)
		return
	}
	key := certtest.Key("other")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(n + 2)), Subject: pkix.Name{CommonName: c.names[n]}, DNSNames: request.DNSNames,
		NotBefore: time.Now(), NotAfter: time.Now().Add(c.life),
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake CA"}}
	der := certtest.Must(x509.CreateCertificate(rand.Reader, template, root, request.PublicKey, key))
	c.issued[n] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// total returns the number of orders for each name.
func (c *fakeCA) total() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := make(map[string]int)
	for name := range maps.Keys(c.ordered) {
		total[name] = len(c.ordered[name])
	}
	return total
}
