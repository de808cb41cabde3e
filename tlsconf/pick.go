package tlsconf

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sluice/tlsconf/certfile"
)

// state is what a handshake needs. It never changes.
type state struct {
	pairs   []*certfile.Pair // as in Options.Files
	client  *clientAuth      // nil when clients are not asked for certificates
	sources []source         // in order of preference, also for names that none has
	byName  map[string][]int // indexes into sources, in order of preference
	http1   *tls.Config
	http2   *tls.Config
}

// add adds a source behind those that are there.
func (st *state) add(from source) {
	for _, name := range from.names() {
		st.byName[name] = append(st.byName[name], len(st.sources))
	}
	st.sources = append(st.sources, from)
}

// candidates returns the sources for a server name: those for exactly this
// name, then those for the wildcard above it.
func (st *state) candidates(name string) []int {
	exact := st.byName[name]
	_, parent, ok := strings.Cut(name, ".")
	if !ok {
		return exact
	}
	above := st.byName["*."+parent]
	switch {
	case len(above) == 0:
		return exact
	case len(exact) == 0:
		return above
	}
	return slices.Concat(exact, above)
}

// served returns the candidates for a server name whose certificates are valid
// now, or all of them when none is. For a name that no source has it returns the
// first source whose certificate is there, valid or not.
func (st *state) served(name string, now time.Time) []int {
	all := st.candidates(strings.TrimSuffix(strings.ToLower(name), "."))
	if len(all) == 0 && len(st.sources) > 0 {
		return []int{st.fallback()}
	}
	invalid := func(i int) bool { return !st.sources[i].valid(now) }
	if len(all) < 2 || !slices.ContainsFunc(all, invalid) {
		return all
	}
	if valid := slices.DeleteFunc(slices.Clone(all), invalid); len(valid) > 0 {
		return valid
	}
	return all
}

// fallback returns the source for names that no source has: the first whose certificate is
// there.
func (st *state) fallback() int {
	first := slices.IndexFunc(st.sources, func(s source) bool {
		_, err := s.certificate()
		return err == nil
	})
	return max(first, 0)
}

// pick returns the certificate for a handshake, as
// [tls.Config.GetCertificate] asks for it: one for exactly this server name,
// else one for the wildcard above it (a wildcard stands for one label, RFC
// 9525, section 6.3), else the first of all that is there. When several have
// the name, those that are valid now come before the others; among them the first one that is
// there and whose key the client can verify is taken. A client that sends no
// server name, as one that connects to an IP address does, gets the certificate
// for the address it connected to.
//
// It never waits for a CA: the handshake fails when the certificate for the name
// has not arrived yet.
func (s *Store) pick(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	st := s.current.Load()
	name := h.ServerName
	if name == "" && len(st.sources) > 1 {
		name = localAddress(h.Conn)
	}
	candidates := st.served(name, s.now())
	if len(candidates) == 0 {
		return nil, errors.New("no certificate is configured")
	}
	var best *tls.Certificate
	var failed error
	for _, i := range candidates {
		c, err := st.sources[i].certificate()
		switch {
		case err != nil:
			failed = cmp.Or(failed, err)
		case len(candidates) == 1 || h.SupportsCertificate(c) == nil:
			return c, nil
		case best == nil:
			best = c // the error of the handshake then says what did not fit
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, failed
}

// localAddress returns the IP address that the client connected to, in the
// form used for names, and "" when there is none.
func localAddress(c net.Conn) string {
	if c == nil {
		return ""
	}
	addr, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return ""
	}
	return addr.Addr().Unmap().WithZone("").String()
}

// Serves reports whether a certificate names host: a name, an IP address, or a
// wildcard.
func (s *Store) Serves(host string) bool {
	return len(s.current.Load().candidates(host)) > 0
}

// Covers reports whether a connection that asked for serverName got a
// certificate that is also good for host, an exact name or IP address. If so, a
// client may send requests for both over it (RFC 9113, section 9.1.1).
func (s *Store) Covers(serverName, host string) bool {
	st := s.current.Load()
	candidates := st.served(serverName, s.now())
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(candidates, func(i int) bool {
		names := st.sources[i].names()
		return slices.Contains(names, host) || slices.Contains(names, "*."+parent)
	})
}
