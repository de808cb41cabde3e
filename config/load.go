// Package config is the file format: YAML in, plain data out, and every
// mistake of the file at once, each with its position. It knows no sockets, no
// certificates and no other package of sluice but fieldname; it opens no file except the
// configuration itself and those of 'set_headers_file' and 'hmac_key_file'.
package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
)

// Options replace what Parse takes from its surroundings. The zero value is
// the process's own.
type Options struct {
	Getenv   func(name string) (string, bool)  // nil means os.LookupEnv
	ReadFile func(name string) ([]byte, error) // nil means os.ReadFile
	Dir      string                            // what relative paths start from; "" means the working directory
}

// Load reads and parses the file at path. Relative paths in it start from the
// directory that holds it. Errors are as for [Parse].
func Load(path string) (*Config, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, Problems{{File: path, Pos: start, Message: "cannot read the configuration: " + cause(err)}}
	}
	return Parse(path, text, Options{Dir: filepath.Dir(path)})
}

// readConfig reads no more of a file than it takes to see that it is too big.
func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSize+1))
}

// Parse decodes text, fills in defaults and checks references. The file name
// is only for messages.
//
// The error is nil or [Problems], all of them, in order of position. With
// problems the Config still holds what is right: it lacks the listeners,
// certificates, sections of 'tls', trusted proxies, backends and routes that have a mistake, so that a caller can
// look for more before it shows them. It is nil only when text could not be
// read as one YAML mapping within the limits of size, depth and aliases.
func Parse(file string, text []byte, o Options) (*Config, error) {
	if o.Getenv == nil {
		o.Getenv = os.LookupEnv
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	r := newReport(file)
	var c *Config
	if root, ok := r.document(text); ok {
		c = &Config{File: file}
		d := &decoder{report: r, getenv: o.Getenv, fields: map[reflect.Type][]field{}}
		d.root(root, c)
		(&checker{decoder: d, config: c, dir: o.Dir, readFile: o.ReadFile}).check()
		r.dropBroken(c)
		c.places = make(map[path]Pos, len(r.sources))
		for at, s := range r.sources {
			c.places[at] = s.pos
		}
	}
	if len(r.problems) > 0 {
		return c, r.problems.Sorted()
	}
	return c, nil
}

// dropBroken takes out of c every element that has a mistake.
func (r *report) dropBroken(c *Config) {
	c.TrustedProxies = keep(c.TrustedProxies, func(i int) bool { return !r.broken(path("trusted_proxies").index(i)) })
	c.Listeners = keep(c.Listeners, func(i int) bool { return !r.broken(path("listeners").index(i)) })
	if c.TLS != nil {
		if r.broken("tls.acme") {
			c.TLS.ACME = nil
		}
		if r.broken("tls.client_auth") {
			c.TLS.ClientAuth = nil
		}
		c.TLS.Certificates = keep(c.TLS.Certificates, func(i int) bool { return !r.broken(path("tls.certificates").index(i)) })
	}
	c.Backends = keep(c.Backends, func(i int) bool { return !r.broken(path("backends").key(c.Backends[i].Name)) })
	c.Routes = keep(c.Routes, func(i int) bool { return !r.broken(path("routes").index(i)) })
}

// keep returns the elements of s whose index pleases ok.
func keep[T any](s []T, ok func(int) bool) []T {
	var kept []T
	for i, e := range s {
		if ok(i) {
			kept = append(kept, e)
		}
	}
	return kept
}

// cause is err without the file name, which may come from a variable.
func cause(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return "it cannot be opened"
}
