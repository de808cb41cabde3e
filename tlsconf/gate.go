package tlsconf

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/acme/autocert"
)

// managerCache is an account's cache as its Manager sees it. The Manager looks
// into it once before it orders a certificate, and once before it renews one.
type managerCache struct{ account *account }

// Get returns what is under key. For a renewal it begins the attempt, which
// lasts until ctx ends: the Manager ends it together with the attempt.
func (m managerCache) Get(ctx context.Context, key string) ([]byte, error) {
	a := m.account
	if a.renews(key) && a.renewable(key) {
		release, err := a.begin(ctx, key, true)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() {
			a.endRenewal(key)
			release()
		})
	}
	data, err := a.cache.get(key)
	if err != nil || !isHost(key) {
		return data, err
	}
	if _, err := parseEntry(data); err != nil {
		return nil, autocert.ErrCacheMiss // the Manager would read what it can, and serve a part of the chain
	}
	a.keep(key, data)
	return data, nil
}

func (m managerCache) Put(_ context.Context, key string, data []byte) error {
	if isHost(key) && m.account.keep(key, data) {
		m.account.received(key)
	}
	return m.account.cache.put(key, data)
}

func (m managerCache) Delete(_ context.Context, key string) error { return m.account.cache.remove(key) }

// isHost tells the certificates in a cache from tokens and the account's key,
// which autocert had under a name without '+' once, and still looks for.
func isHost(key string) bool { return !strings.Contains(key, "+") && key != "acme_account.key" }

// renews reports whether a look into the cache for key is the first step of a
// renewal, and not that of the order under way.
func (a *account) renews(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !isHost(key) {
		return false
	}
	if t := a.attempt; t != nil && t.name == key && !t.fetched {
		t.fetched = true
		return false
	}
	return true
}

// received notes that a certificate for host has come.
func (a *account) received(host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.attempt; t != nil && t.name == host {
		t.got = true
	}
}

// endRenewal notes how a renewal went. One that asked the CA for nothing found
// what another process had got.
func (a *account) endRenewal(host string) {
	a.mu.Lock()
	t := a.attempt
	var err error
	if t.started && !t.got {
		err = errors.New("the CA did not answer")
	}
	a.mu.Unlock()
	a.end(host, err)
}

// RoundTrip sends a request of the Manager to the CA, unless it is for an order
// that the account does not allow.
func (a *account) RoundTrip(r *http.Request) (*http.Response, error) {
	host := orderedName(r)
	if err := a.allow(host); err != nil {
		r.Body.Close()
		return nil, err
	}
	res, err := a.base.RoundTrip(r)
	if err != nil {
		a.note("", fmt.Sprintf("%s cannot be reached: %v", r.URL.Host, err))
		return nil, err
	}
	a.observe(host, res)
	return res, nil
}

// allow tells why there may be no new order for host, or nil. Host is "" for
// requests of other kinds. The one order more that a Manager makes when it has
// tried every challenge is refused with why they failed.
func (a *account) allow(host string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.attempt
	switch {
	case t != nil && (host == "" || host == t.name && t.orders < ordersEach):
		t.started = true
		return nil
	case host == "":
		return nil // to tidy up
	case t != nil && host == t.name:
		return t.reason()
	}
	return fmt.Errorf("no certificate is ordered for %s now", host)
}

// observe learns what an answer of the CA says about the attempt under way. The
// body of res can still be read.
func (a *account) observe(host string, res *http.Response) {
	a.mu.Lock()
	t := a.attempt
	if t != nil && host != "" && res.StatusCode == http.StatusCreated {
		t.orders++
	}
	if wait, ok := retryAfter(res, a.now()); t != nil && ok && res.StatusCode >= 400 {
		t.wait = wait
	}
	a.mu.Unlock()
	if t == nil || !strings.Contains(res.Header.Get("Content-Type"), "json") {
		return
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(text))
	if err != nil {
		a.note("", "the CA's answer was cut: "+err.Error())
		return
	}
	for by, why := range complaints(text, res.StatusCode) {
		a.note(by, why)
	}
}

// note keeps why the attempt under way may fail.
func (a *account) note(by, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.attempt != nil {
		a.attempt.reasons[by] = why
	}
}

// complaints returns what a JSON text of the CA complains about: a problem
// document (RFC 7807), or the errors of a failed authorization by the type of
// their challenge (RFC 8555, section 8).
func complaints(text []byte, status int) map[string]string {
	type problem struct{ Type, Detail string }
	var body struct {
		problem
		Error      *problem
		Challenges []struct {
			Type  string
			Error *problem
		}
	}
	if json.Unmarshal(text, &body) != nil {
		return nil
	}
	found := make(map[string]string)
	for _, c := range body.Challenges {
		if c.Error != nil {
			found[printable(c.Type)] = printable(c.Error.Detail)
		}
	}
	if body.Error != nil {
		found[""] = printable(body.Error.Detail)
	}
	if status >= 400 && !strings.HasSuffix(body.Type, ":badNonce") { // such a request is sent again
		found[""] = printable(body.Detail)
	}
	return found
}

// printable is a text of the CA's as a log may have it.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), 500)], "")
}

// orderedName returns the name that a request orders a certificate for (RFC
// 8555, section 7.4), or "" if it does something else.
func orderedName(r *http.Request) string {
	if r.GetBody == nil {
		return ""
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	var jws struct{ Payload string }
	var order struct{ Identifiers []struct{ Value string } }
	if json.NewDecoder(body).Decode(&jws) != nil {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil || json.Unmarshal(payload, &order) != nil || len(order.Identifiers) == 0 {
		return ""
	}
	return order.Identifiers[0].Value
}

const (
	retries   = 10 // of one request that the CA was too busy for, or whose nonce it refused
	retryWait = 10 * time.Second
)

// retryBackoff says how long to wait before a request is sent once more, or
// that it is not.
func retryBackoff(n int, _ *http.Request, res *http.Response) time.Duration {
	wait := min(100*time.Millisecond<<min(n, 10), retryWait)
	if at, ok := retryAfter(res, time.Now()); ok {
		wait = time.Until(at)
	}
	if n > retries || wait > retryWait {
		return -1
	}
	return max(wait, time.Millisecond) + rand.N(100*time.Millisecond)
}

// retryAfter reads the header of that name (RFC 9110, section 10.2.3).
func retryAfter(res *http.Response, now time.Time) (time.Time, bool) {
	if res == nil {
		return time.Time{}, false
	}
	value := res.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 && seconds < 1<<30 {
		return now.Add(time.Duration(seconds) * time.Second), true
	}
	at, err := http.ParseTime(value)
	return at, err == nil
}
