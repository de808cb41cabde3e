package proxy

import (
	"net/http"
	"strconv"
	"time"

	"sluice/config"
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
	if !x.own {
		x.setCookies(h)
	}
	if svc.cacheControl != "" && status < 400 {
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
