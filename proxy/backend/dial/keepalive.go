package dial

import (
	"cmp"
	"net/http"
	"net/http/httptrace"
	"time"

	"sluice/internal/wire"
)

// KeepAlive is how connections for requests are kept for the next request.
type KeepAlive struct {
	Idle     int           // connections to the endpoint that are kept without a request, with HTTP/1.1; 0 means 256, negative none
	Timeout  time.Duration // how long one is kept so; 0 means 60s
	Requests int           // after which a connection is closed, with HTTP/1.1; 0 for any number
}

// withDefaults returns a copy that is complete.
func (k KeepAlive) withDefaults() KeepAlive {
	k.Idle = cmp.Or(k.Idle, 256)
	k.Timeout = cmp.Or(k.Timeout, 60*time.Second)
	return k
}

// Spent reports whether a connection that has carried so many requests carries no more.
func (k *KeepAlive) Spent(requests int) bool { return k.Requests > 0 && requests >= k.Requests }

// counted returns r with a trace that counts it for its connection, and tells the endpoint to
// close the connection with the last one. The transport obeys the endpoint's answer. It may
// try several connections for one request.
func (d *Dialer) counted(r *http.Request) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			r.Header.Del("Connection")
			w := wire.Of(i.Conn)
			if w == nil || !w.TracksReads() { // HTTP/2
				return
			}
			switch n := w.CountUse(); {
			case n > d.keepAlive.Requests && (r.Body == nil || r.Body == http.NoBody):
				i.Conn.Close() // the endpoint has not obeyed; the transport uses another connection
			case n >= d.keepAlive.Requests: // a request with a body would be lost
				r.Header.Set("Connection", "close")
			}
		},
	}))
}
