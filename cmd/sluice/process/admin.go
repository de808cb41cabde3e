package process

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"

	"sluice/config"
	"sluice/internal/admin"
	"sluice/tlsconf/certfile"
)

// adminOptions returns what a configuration says about the admin interface. The process keeps the
// token that it has made.
func (p *process) adminOptions(c *config.Config) (o admin.Options, err error) {
	a := &c.Admin
	fail := func(key string, err error) error {
		at := "admin." + key
		return config.Problems{c.Problem(c.Position(at), at, "%v", err)}
	}
	if a.Off {
		return o, nil
	}
	o = admin.Options{
		Socket:  &admin.SocketOptions{Dir: admin.RuntimeDir(os.Getenv), Name: admin.SocketName(c.File), Mode: fs.FileMode(a.Mode), Group: -1},
		Address: a.Address, Health: a.Health, Metrics: a.Metrics, Token: a.Token, ReadOnly: a.ReadOnly, Pprof: a.Pprof,
	}
	if a.Group != "" {
		if o.Socket.Group, err = groupNumber(a.Group); err != nil {
			return o, fail("group", err)
		}
	}
	if a.TLS != nil {
		var key string
		if o.TLS, o.TLSKey, key, err = adminTLS(a.TLS); err != nil {
			return o, fail(key, err)
		}
	}
	if o.Address != "" && o.Token == "" {
		if p.token == "" {
			p.token = rand.Text()
		}
		o.Token = p.token
	}
	return o, nil
}

// keepToken writes the token that was made to a file beside the Unix socket, which only its owner can
// read. The socket must be this process's: else the file is another gateway's.
func (p *process) keepToken(o *admin.Options, noSocket error) error {
	if o.Address == "" || o.Token != p.token {
		return nil
	}
	if _, err := os.Lstat(p.tokenFile); p.tokenFile != "" && err == nil {
		return nil
	}
	if noSocket != nil {
		return noSocket
	}
	file := o.Socket.Path() + ".token"
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(p.token + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		p.tokenFile = file
	}
	return err
}

// groupNumber returns the number of a group, which is given by name or number.
func groupNumber(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// adminTLS returns the TLS of the admin interface and a hash of what it was made from, or the key of
// the configuration that is wrong.
func adminTLS(c *config.AdminTLS) (t *tls.Config, sum, key string, err error) {
	pair, mistakes := certfile.LoadPair(certfile.File{Cert: c.Cert, Key: c.Key, Option: "tls"})
	if mistakes != nil {
		return nil, "", "tls", errors.Join(mistakes...)
	}
	h := sha256.New()
	for _, der := range pair.Certificate.Certificate {
		h.Write(der)
	}
	t = &tls.Config{Certificates: []tls.Certificate{pair.Certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if c.ClientCA != "" {
		text, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return nil, "", "tls.client_ca", err
		}
		h.Write(text)
		t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !t.ClientCAs.AppendCertsFromPEM(text) {
			return nil, "", "tls.client_ca", fmt.Errorf("%s has no certificate in PEM", c.ClientCA)
		}
	}
	return t, string(h.Sum(nil)), "", nil
}
