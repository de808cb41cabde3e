package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"sluice/internal/fieldname"
	"sluice/route"
)

// credentials are the fields that a TRACE request does not carry on: its answer
// shows them (RFC 9110, section 9.3.8).
var credentials = fieldname.NewSet("Authorization", "Proxy-Authorization", "Cookie")

// ofProxies are the fields that tell of the way to this gateway, which is no
// matter of the client's.
var ofProxies = fieldname.NewSet("Forwarded", "X-Forwarded-*")

// answerLast answers an OPTIONS or TRACE request whose last recipient is this
// gateway (RFC 9110, section 7.6.2).
func (x *exchange) answerLast() {
	x.own = true
	if x.r.Method == http.MethodOptions {
		x.w.Header().Set("Allow", x.allow(x.question(false)))
		x.w.WriteHeader(http.StatusOK)
		return
	}
	h := x.r.Header.Clone()
	x.edit(h)
	ofProxies.Strip(h)
	var b bytes.Buffer
	fmt.Fprintf(&b, "TRACE %s %s\r\nHost: %s\r\n", x.r.URL.RequestURI(), x.r.Proto, x.r.Host)
	h.Write(&b) // a bytes.Buffer does not fail
	b.WriteString("\r\n")
	x.w.Header().Set("Content-Type", "message/http")
	x.w.Write(b.Bytes())
}

// allow returns the Allow header of an answer to q.
func (x *exchange) allow(q *route.Request) string {
	return strings.Join(x.s.routes.Allowed(q), ", ")
}
