package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"sluice/proxy/headers"
	"sluice/route"
)

// answerAsLast answers an OPTIONS or TRACE request whose last recipient is this
// gateway (RFC 9110, section 7.6.2).
func (x *exchange) answerAsLast() {
	x.selfAnswered = true
	if x.r.Method == http.MethodOptions {
		x.answer.Header().Set("Allow", x.allowedMethods(&x.matched))
		x.answer.WriteHeader(http.StatusOK)
		return
	}
	h := x.r.Header.Clone()
	x.editRequestHeader(h)
	headers.StripForwarding(h)
	var b bytes.Buffer
	fmt.Fprintf(&b, "TRACE %s %s\r\nHost: %s\r\n", x.r.URI(), x.r.Proto, x.r.Host)
	h.Write(&b) // a bytes.Buffer does not fail
	b.WriteString("\r\n")
	x.answer.Header().Set("Content-Type", "message/http")
	x.answer.Write(b.Bytes())
}

// allowedMethods returns the Allow header of an answer to q.
func (x *exchange) allowedMethods(q *route.Request) string {
	return strings.Join(x.snap.Routes.Allowed(q), ", ")
}
