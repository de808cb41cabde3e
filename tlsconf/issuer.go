package tlsconf

import (
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"
)

// leafLife is how long a self-signed certificate is valid. It is never
// written down, so it can be short.
const leafLife = 7 * 24 * time.Hour

// issuer holds one certificate of the local CA for all its names, and replaces
// it during a handshake when less than a third of its life is left.
type issuer struct {
	ca   *authority
	list []string
	now  func() time.Time

	mu      sync.Mutex
	current *tls.Certificate // nil before the first handshake
}

func (i *issuer) certificate() (*tls.Certificate, error) {
	now := i.now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current != nil && i.current.Leaf.NotAfter.Sub(now) > leafLife/3 {
		return i.current, nil
	}
	c, err := i.ca.issue(i.list, now, leafLife)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	i.current = c
	return c, nil
}

// valid is always true: a certificate is made as it is needed.
func (i *issuer) valid(time.Time) bool { return true }

func (i *issuer) names() []string { return i.list }

func (i *issuer) status() Source { return Source{Names: i.list, From: "local CA"} }

// certificateInUse returns the certificate as it is, nil when there is none.
func (i *issuer) certificateInUse() *tls.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current
}

// serves reports whether certificates of i are as good as new ones from ca for
// names. I may be nil.
func (i *issuer) serves(ca *authority, names []string) bool {
	return i != nil && i.ca.root.Equal(ca.root) && slices.Equal(i.list, names)
}
