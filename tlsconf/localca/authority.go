package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/atomicfile"
	"sluice/tlsconf/certfile"
)

const (
	rootLife    = 10 * 365 * 24 * time.Hour
	rootReserve = 365 * 24 * time.Hour // a root with less time left is followed by a new one
	backdate    = time.Hour            // for clients whose clock is behind
)

// authority is the local CA: one ECDSA P-256 key, and a root certificate that a
// user trusts once.
//
// A user who trusts it stays safe on other sites even if the key leaks: the root
// is name-constrained (RFC 5280, section 4.2.1.10), to names and addresses that
// belong to no site on the Internet, and to those beyond them that the
// configuration asks for. When it asks for a name that the root does not permit,
// a new generation of the root follows. It has the same key and subject and
// permits more names; the user has to trust it too. It verifies what the old one
// did, so processes of both generations can run side by side.
//
// On disk a generation is a directory "ca/<number>" in the state directory with
// key.pem and root.pem. It is written under another name and renamed into place.
// The rename succeeds for one process only, so processes that start together
// agree on one root, without a lock that a crash could leave behind.
// "ca/root.pem" is a copy of the newest certificate.
type authority struct {
	root    *x509.Certificate
	key     *ecdsa.PrivateKey
	file    string // of the root certificate
	exposed bool   // every user of the machine can read the key file
}

// openAuthority returns the newest generation of the CA in stateDir. It makes a
// new one when that does not permit names, or is near its end.
func openAuthority(stateDir string, names []string, now time.Time) (*authority, error) {
	dir := filepath.Join(stateDir, "ca")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for {
		number, err := newest(dir)
		if err != nil {
			return nil, err
		}
		var a *authority
		if number > 0 {
			if a, err = readGeneration(generation(dir, number)); err != nil {
				return nil, err
			}
			if a.root.NotAfter.Sub(now) > rootReserve && len(a.unpermitted(names)) == 0 {
				a.file = filepath.Join(dir, "root.pem")
				return a, a.export()
			}
		}
		next, err := a.next(names, now)
		if err != nil {
			return nil, err
		}
		if err := next.publish(dir, generation(dir, number+1)); err != nil {
			return nil, err
		}
	}
}

func generation(dir string, number int) string {
	return filepath.Join(dir, strconv.Itoa(number))
}

// newest returns the number of the highest generation in dir, 0 when there is
// none.
func newest(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	highest := 0
	for _, e := range entries {
		if number, err := strconv.Atoi(e.Name()); err == nil {
			highest = max(highest, number)
		}
	}
	return highest, err
}

func readGeneration(dir string) (*authority, error) {
	p, mistakes := certfile.LoadPair(certfile.File{Cert: filepath.Join(dir, "root.pem"), Key: filepath.Join(dir, "key.pem")})
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	key, ok := p.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !p.Leaf.IsCA {
		return nil, fmt.Errorf("%s holds something else than the CA that belongs there; move it away", dir)
	}
	return &authority{root: p.Leaf, key: key, exposed: p.Exposed}, nil
}

// next returns the generation after a, or the first one when a is nil. It is
// valid from now, and permits names and all that a permits.
func (a *authority) next(names []string, now time.Time) (*authority, error) {
	if a == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		host, err := os.Hostname()
		if err != nil {
			host = "unknown host"
		}
		a = &authority{key: key, root: &x509.Certificate{
			Subject: pkix.Name{
				Organization: []string{"sluice"},
				CommonName:   fmt.Sprintf("sluice local CA (%s, %s)", host, now.Format(time.DateOnly)),
			},
			PermittedDNSDomains: localDomains(),
			PermittedIPRanges:   localNetworks(),
		}}
	}
	dns, ips := split(a.unpermitted(names))
	domains, networks := slices.Clone(a.root.PermittedDNSDomains), slices.Clone(a.root.PermittedIPRanges)
	for _, name := range dns {
		domains = append(domains, strings.TrimPrefix(name, "*."))
	}
	for _, ip := range ips {
		networks = append(networks, &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
	}
	template := &x509.Certificate{
		Subject:                     a.root.Subject,
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.Add(rootLife),
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		PermittedIPRanges:           networks,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{root: root, key: a.key}, nil
}

// publish writes a to the directory target inside dir. It is no error when
// another process has written target first: that generation counts then.
func (a *authority) publish(dir, target string) error {
	draft, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft) // nothing is left to remove after the rename
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := atomicfile.Create(filepath.Join(draft, "key.pem"), key, 0o600); err != nil {
		return err
	}
	if err := atomicfile.Create(filepath.Join(draft, "root.pem"), a.pem(), 0o644); err != nil {
		return err
	}
	if err := os.Rename(draft, target); err != nil {
		if _, missing := os.Stat(target); missing != nil {
			return err
		}
	}
	return nil
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// export writes the root certificate to a.file, unless it is there already.
func (a *authority) export() error {
	text := a.pem()
	if now, err := os.ReadFile(a.file); err == nil && string(now) == string(text) {
		return nil
	}
	return atomicfile.Replace(a.file, text, 0o644)
}

// issue makes a key and a certificate for names, valid for life from now.
func (a *authority) issue(names []string, now time.Time, life time.Duration) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	dns, ips := split(names)
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"sluice"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              dns,
		IPAddresses:           ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
