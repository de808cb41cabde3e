package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say where operators are served, and what they may do.
type Options struct {
	Socket   *SocketOptions // nil means no Unix socket
	Address  string         // of TCP, host:port; "" means none
	TLS      *tls.Config    // of Address; nil means plain HTTP
	TLSKey   string         // what TLS was made from: equal keys mean equal configurations
	Health   string         // host:port that serves /healthz and /readyz alone; "" means none
	Metrics  string         // host:port that serves /metrics alone; "" means none
	Token    string         // that every request over TCP has to show
	ReadOnly bool           // every change is refused
	Pprof    bool           // profiles may be taken
}

// Server serves operators. Listeners that stay the same are kept when the options change.
type Server struct {
	gateway Gateway
	access  atomic.Pointer[access]
	routes  map[string]*http.ServeMux // by kind of a listener
	errors  *log.Logger
	scrapes chan struct{} // has a value for each scrape over the listener for metrics

	openPaths map[string]bool // that ask for no token

	mu        sync.Mutex // one change at a time
	open      map[place]*listener
	inherited map[string]*os.File // by key; see Inherit
}

// place is where a listener is: its network and its address.
type place struct{ network, address string }

// What a listener is for.
const (
	kindUnix    = "unix"
	kindTCP     = "tcp"
	kindHealth  = "health"
	kindMetrics = "metrics"
)

// isOn reports whether a kind of listener has an endpoint.
func (e *endpoint) isOn(kind string) bool {
	switch kind {
	case kindHealth:
		return e.open
	case kindMetrics:
		return e.path == metricsPath
	}
	return true
}

// listener is an open listener with its server.
type listener struct {
	net.Listener
	kind    atomic.Pointer[string] // what it is for now
	server  *http.Server
	streams atomic.Pointer[streamGroup] // that end together
	done    chan struct{}               // closed when the server has returned
}

// NewServer returns a server without listeners. What goes wrong inside is written to errors.
func NewServer(g Gateway, errors *log.Logger) *Server {
	s := &Server{gateway: g, errors: errors, open: make(map[place]*listener), scrapes: make(chan struct{}, openScrapes)}
	s.access.Store(new(access))
	s.openPaths = make(map[string]bool)
	for _, e := range endpoints() {
		s.openPaths[e.path] = e.open
	}
	s.routes = make(map[string]*http.ServeMux)
	for _, kind := range []string{kindUnix, kindTCP, kindHealth, kindMetrics} {
		s.routes[kind] = newRoutes(s, kind)
	}
	return s
}

// Addresses returns where operators are served, by kind: unix, tcp, health and metrics.
func (s *Server) Addresses() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]string)
	for at, l := range s.open {
		if kind := *l.kind.Load(); kind == kindUnix {
			all[kind] = at.address
		} else {
			all[kind] = l.Addr().String()
		}
	}
	return all
}

// Close closes the listeners and cuts the requests that are left.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, l := range s.open {
		l.close()
		delete(s.open, at)
	}
}

// close closes the listener, and its connections when they have had a moment to end.
func (l *listener) close() {
	l.streams.Load().end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		l.server.Close()
	}
	<-l.done
}

// The most that a client of the interface may take.
const (
	headerTimeout = 10 * time.Second
	streamTimeout = time.Minute      // for a piece of an answer that lasts; longer than a heartbeat
	writeTimeout  = 20 * time.Second // for an answer, but for those that last
	idleTimeout   = 30 * time.Second
	maxHeader     = 16 << 10
	maxConns      = 256 // of one listener
)

// newListener returns a listener with a server that does not run yet.
func (s *Server) newListener(on net.Listener) *listener {
	l := &listener{done: make(chan struct{})}
	l.streams.Store(newStreamGroup())
	conns := limitConns(on, maxConns)
	conns.secure = func() *tls.Config {
		if *l.kind.Load() == kindTCP {
			return s.access.Load().tls
		}
		return nil
	}
	l.Listener = conns
	l.server = &http.Server{
		Handler:           s.guard(l),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:                     s.errors,
		DisableGeneralOptionsHandler: true,
		ConnContext:                  withPeer,
	}
	return l
}

// guard refuses what must not reach an endpoint.
func (s *Server) guard(l *listener) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := *l.kind.Load()
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if !isPlain(r.URL.EscapedPath()) {
			writeError(w, &failure{http.StatusBadRequest, "the path is not in its plain form: use one of " + paths(kind)})
			return
		}
		who, refusal := s.access.Load().check(kind, r, s.openPaths[r.URL.Path])
		if refusal != nil {
			s.gateway.Refused(who, refusal.kind())
			h.Set("Connection", "close") // who may do nothing holds no connection
			if refusal.status == http.StatusUnauthorized {
				h.Set("WWW-Authenticate", `Bearer realm="sluice"`)
			}
			writeError(w, refusal)
			return
		}
		if c, ok := r.Context().Value(connKey{}).(*limitedConn); ok && c != nil {
			c.requests.Add(1)
			defer c.requests.Add(-1)
		}
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), whoKey{}, who))
		defer cancel()
		defer context.AfterFunc(l.streams.Load().ctx, cancel)()
		s.routes[kind].ServeHTTP(w, r.WithContext(ctx))
	})
}

// isPlain reports whether no part of a path is empty or stands for another one.
func isPlain(escaped string) bool {
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return false
	}
	for part := range strings.SplitSeq(rest, "/") {
		switch name, err := url.PathUnescape(part); {
		case err != nil, name == ".", name == "..", name == "" && rest != "":
			return false
		}
	}
	return true
}

// paths lists the paths that a kind of listener serves.
func paths(kind string) string {
	var all []string
	for _, e := range endpoints() {
		if !slices.Contains(all, e.path) && e.isOn(kind) {
			all = append(all, e.path)
		}
	}
	return strings.Join(all, ", ")
}

// lasting prepares an answer that takes as long as d to come into being, and is written meanwhile. All
// others have [writeTimeout], as [http.Server] has one read deadline for a request.
func (c *call) lasting(contentType string, d time.Duration) *stream {
	s := &stream{http.NewResponseController(c.w)}
	s.SetReadDeadline(time.Time{})
	s.SetWriteDeadline(time.Now().Add(d + writeTimeout))
	c.w.Header().Set("Content-Type", contentType)
	return s
}

// streamGroup is answers that last and end together.
type streamGroup struct {
	ctx context.Context
	end context.CancelFunc
}

func newStreamGroup() *streamGroup {
	ctx, end := context.WithCancel(context.Background())
	return &streamGroup{ctx, end}
}

// stream is an answer that is written piece by piece.
type stream struct{ *http.ResponseController }

// next flushes what was written, and gives the reader [streamTimeout] from now on for the next piece:
// one that takes nothing does not stay for ever.
func (s *stream) next() error {
	if err := s.Flush(); err != nil {
		return err
	}
	return s.SetWriteDeadline(time.Now().Add(streamTimeout))
}

// newRoutes returns the endpoints of a kind of listener, by path.
func newRoutes(s *Server, kind string) *http.ServeMux {
	mux := http.NewServeMux()
	byPath := make(map[string]map[string]endpoint)
	for _, e := range endpoints() {
		if e.isOn(kind) {
			if byPath[e.path] == nil {
				byPath[e.path] = make(map[string]endpoint)
			}
			byPath[e.path][e.method] = e
		}
	}
	for p, methods := range byPath {
		mux.HandleFunc(p, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, kind, methods) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &failure{http.StatusNotFound, "there is nothing at this path: use one of " + paths(kind)})
	})
	return mux
}

// serve calls the endpoint of a path that has the request's method.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, kind string, methods map[string]endpoint) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	e, ok := methods[method]
	if !ok {
		allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		w.Header().Set("Allow", allowed)
		writeError(w, &failure{http.StatusMethodNotAllowed, "the method " + shorten(r.Method) + " is not allowed here: use " + allowed})
		return
	}
	if e.changes && s.access.Load().readOnly {
		writeError(w, &failure{http.StatusForbidden, "this interface is read-only: 'read_only' of 'admin' is set"})
		return
	}
	body, err := e.readBody(w, r)
	if err != nil {
		w.Header().Set("Connection", "close")
		writeError(w, err)
		return
	}
	q, err := parseQuery(r.URL.RawQuery, e.parameters)
	if err != nil {
		writeError(w, &failure{http.StatusBadRequest, err.Error()})
		return
	}
	if e.changes && !e.restarts {
		done, err := s.gateway.Change()
		if err != nil {
			writeError(w, &failure{http.StatusConflict, err.Error()})
			return
		}
		defer done()
	}
	who, _ := r.Context().Value(whoKey{}).(Who)
	answer, err := e.serve(s, &call{w, r, kind, q, body, who})
	// The client has this time to read the answer, however long that took to make.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	switch {
	case err != nil:
		writeError(w, err)
	case answer != nil:
		writeJSON(w, http.StatusOK, answer)
	}
}

// mostBody is how many bytes a request may have, as many as a configuration.
const mostBody = 16 << 20

// readBody reads the body of a request.
func (e *endpoint) readBody(w http.ResponseWriter, r *http.Request) (any, error) {
	if e.body == nil {
		if r.ContentLength != 0 {
			return nil, wrong(errors.New("a body is not read here: write the parameters into the query"))
		}
		return nil, nil
	}
	body := reflect.New(e.body).Interface()
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	d.DisallowUnknownFields()
	if err := d.Decode(body); err != nil {
		return nil, wrong(fmt.Errorf("the body is not the JSON that is asked for here, see /openapi.json: %w", err))
	}
	return body, nil
}

// failure is why a request fails.
type failure struct {
	status  int
	message string
}

func (f *failure) Error() string { return f.message }

// kind returns why a request is refused, without anything that it has brought.
func (f *failure) kind() string {
	switch f.status {
	case http.StatusUnauthorized:
		return "no valid token"
	case http.StatusMisdirectedRequest:
		return "a host that is not this interface"
	}
	return "a page of another site"
}

// wrong is the failure of a request that is malformed.
func wrong(err error) error { return &failure{http.StatusBadRequest, err.Error()} }

// Failure is the answer to a request that failed.
type Failure struct {
	Error string `json:"error" doc:"What was wrong, and what to do."`
}

const jsonType = "application/json"

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if f, ok := errors.AsType[*failure](err); ok {
		status = f.status
	}
	writeJSON(w, status, Failure{err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // a fault of this package
		status, text = http.StatusInternalServerError, fmt.Appendf(nil, `{"error":%q}`, err.Error())
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}
