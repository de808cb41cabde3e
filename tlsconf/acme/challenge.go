package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/crypto/acme"
)

// Suffixes of the entries of a cache that answer challenges, as autocert has
// them.
const (
	alpnSuffix  = "+token"   // behind a host: the certificate that answers TLS-ALPN-01
	tokenSuffix = "+http-01" // behind a token: the text that answers HTTP-01
)

// challengePath is where a CA looks for the answer to an HTTP-01 challenge (RFC
// 8555, section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// challengeCache shows only the answers to challenges in a cache. An
// [autocert.Manager] that has it finds no certificates, so it can neither order
// nor renew one.
type challengeCache struct{ cache }

func (c challengeCache) Get(ctx context.Context, key string) ([]byte, error) {
	if strings.HasSuffix(key, alpnSuffix) || strings.HasSuffix(key, tokenSuffix) {
		return c.cache.Get(ctx, key)
	}
	return nil, errors.New("not a challenge") // with autocert.ErrCacheMiss the Manager would order a certificate
}

// AnswerHTTP answers r if it is the request of a CA that checks an HTTP-01
// challenge of this account, or of a process that shares its cache. It reports
// whether it has answered. Other requests below the same path are left alone:
// they may belong to a backend.
func (a *Account) AnswerHTTP(w http.ResponseWriter, r *http.Request) bool {
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if !ok || r.Method != http.MethodGet || !isToken(token) {
		return false
	}
	if _, err := a.cache.Get(r.Context(), token+tokenSuffix); err != nil {
		return false
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	a.challenges.HTTPHandler(nil).ServeHTTP(w, r)
	return true
}

// isToken reports whether s can be an ACME token (RFC 8555, section 8.1). A token
// is also safe as the name of a file.
func isToken(s string) bool {
	return s != "" && len(s) <= 200 &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// IsChallenge reports whether a handshake is that of a CA that checks a
// TLS-ALPN-01 challenge (RFC 8737, section 3).
func IsChallenge(h *tls.ClientHelloInfo) bool {
	return len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == acme.ALPNProto
}

// ChallengeConfig returns the server configuration for handshakes of
// [IsChallenge]. It asks for no client certificate. It is shared: the caller
// must not change it.
func (a *Account) ChallengeConfig() *tls.Config { return a.challengeConfig }

// challengeCertificate returns the answer to a TLS-ALPN-01 challenge. It reads
// the cache only for hosts of the account, not for any name a client may send.
func (a *Account) challengeCertificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !a.assigned(strings.TrimSuffix(strings.ToLower(h.ServerName), ".")) {
		return nil, fmt.Errorf("no certificate is ordered for %q", h.ServerName)
	}
	return a.challenges.GetCertificate(h)
}
