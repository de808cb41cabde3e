package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"sluice/config"
	"sluice/internal/fieldname"
	"sluice/proxy/answer"
)

// dress makes the changes of a route to the headers that its clients see. It is
// called once, when an answer begins.
func (x *exchange) dress(h http.Header, status int) {
	svc := x.svc
	if svc == nil {
		return
	}
	svc.response.apply(x, h)
	for _, name := range [...]string{"Content-Type", "Date"} {
		if _, ok := h[name]; !ok && svc.response.names.Has(name) {
			h[name] = nil // or the server puts in its own
		}
	}
	if !x.own {
		x.setCookies(h)
	}
	if svc.cacheControl != "" && status < 400 {
		cacheControl.Strip(h)
		h.Set("Cache-Control", svc.cacheControl)
	}
	for name, value := range svc.secure {
		h.Set(name, value)
	}
	if svc.hsts != "" && x.origin.Proto == "https" {
		h.Set("Strict-Transport-Security", svc.hsts)
	}
	if svc.cors != nil {
		svc.cors.Apply(h, x.r)
	}
}

var cacheControl = fieldname.NewSet("Cache-Control")

// decided returns the names of the response headers that keys of a route set,
// besides those of 'response', whatever the status is.
func (s *service) decided() []string {
	names := slices.Collect(maps.Keys(s.secure))
	if s.hsts != "" {
		names = append(names, "Strict-Transport-Security")
	}
	if s.cors != nil {
		names = append(names, answer.CORSFields()...)
	}
	return names
}

// pages returns the route's own error pages, or nil.
func (x *exchange) pages() *answer.Pages {
	if x.svc == nil {
		return nil
	}
	return x.svc.pages
}

// secure returns the headers that a route's security settings stand for, and
// the one that is for TLS only.
func secure(c *config.Security) (always map[string]string, hsts string) {
	if c == nil {
		return nil, ""
	}
	always = make(map[string]string)
	if c.NoSniff {
		always["X-Content-Type-Options"] = "nosniff"
	}
	switch c.FrameOptions {
	case "deny":
		always["X-Frame-Options"] = "DENY"
	case "same-origin":
		always["X-Frame-Options"] = "SAMEORIGIN"
	}
	if c.HSTS > 0 {
		hsts = "max-age=" + strconv.Itoa(int(c.HSTS/time.Second))
	}
	return always, hsts
}
