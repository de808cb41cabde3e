package proxy

import (
	"net/http"
	"slices"
)

// sticky is a cookie that brings a client back to where it was.
type sticky struct {
	signer *signer
	what   string      // it is about: a value of another one does not count
	cookie http.Cookie // its name and attributes
}

// maxCookies bounds how many cookies of one name are looked at.
const maxCookies = 4

// of returns what the cookie of a request says.
func (s *sticky) of(r *http.Request) (id uint64, ok bool) {
	all := r.CookiesNamed(s.cookie.Name)
	for _, c := range all[:min(len(all), maxCookies)] {
		if id, ok := s.signer.read(s.what, c.Value); ok {
			return id, true
		}
	}
	return 0, false
}

// kept is a cookie that goes out with the answer.
type kept struct {
	*sticky
	id uint64
}

// keep has the client keep a cookie.
func (x *exchange) keep(s *sticky, id uint64) {
	x.forget(s)
	x.cookies = append(x.cookies, kept{s, id})
}

// forget takes back what keep has done.
func (x *exchange) forget(s *sticky) {
	x.cookies = slices.DeleteFunc(x.cookies, func(k kept) bool { return k.sticky == s })
}

// setCookies adds the cookies to an answer that is a backend's.
func (x *exchange) setCookies(h http.Header) {
	for _, k := range x.cookies {
		c := k.cookie
		c.Value = k.signer.sign(k.what, k.id)
		c.Secure = x.origin.Proto == "https"
		h.Add("Set-Cookie", c.String())
	}
}
