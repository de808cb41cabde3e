// Package route decides which route takes a request: by host, path, protocol, method, headers and
// query. The most specific route wins, so that the order in which routes are written never matters.
// It owns how hosts and paths are normalised; it does not know what a route does with a request.
package route

import (
	"net/http"
	"slices"
	"strings"

	"sluice/internal/header"
)

// Entry is a route to compile: what it matches, and the value that a match returns.
type Entry[T any] struct {
	Pattern Pattern
	Value   T
}

// Request is what is matched.
type Request struct {
	Method    string
	Host      string // from [CleanHost]
	Path      string // from [Clean]; a target that is no path, such as the "*" of OPTIONS, matches no route
	Query     string // escaped, without '?'
	Header    header.Fields
	WebSocket bool // a WebSocket handshake; it counts as GET, also over HTTP/2, where its method is CONNECT
}

// method returns the method that routes compare with theirs.
func (r *Request) method() string {
	if r.WebSocket {
		return http.MethodGet
	}
	return r.Method
}

// Match is the route that takes a request.
type Match[T any] struct {
	Value     T
	Rest      string // what is below the directory before the '*' of the path: the end of [Request.Path], escaped
	Variables Variables
}

// Miss is why no route takes a request. If several routes came near, the most specific of them
// decides.
type Miss int

const (
	None             Miss = iota // a route takes the request
	NotFound                     // no route has this host and path under these headers and query
	MethodNotAllowed             // a route would take it with another method; see [Table.Allowed]
	UpgradeRequired              // a route would take it if it were a WebSocket handshake
)

// Table is an immutable set of compiled routes, safe for concurrent use.
//
// Of the routes that match all of a request, the first in this order takes it:
//
//  1. Host: exact, then wildcards from the longest to the shortest, then any.
//  2. Path, segment by segment from the left: literals, then variables, then the '*', where one with
//     a suffix precedes one without, and a longer suffix a shorter one. So exact paths come first,
//     and of prefixes the longest. [Compile] refuses what overlaps otherwise.
//  3. Protocol: named before any.
//  4. Methods: named before any, a shorter list before a longer one.
//  5. Headers: more names before fewer, then more exact values before fewer.
//  6. Query: likewise.
//  7. The text of [Pattern.String], so that there is always an order.
type Table[T any] struct {
	rules []*rule[T]          // in order of precedence
	hosts map[string]*node[T] // by rule.host
}

// Match returns the route that takes r, or why there is none. It allocates nothing, and its time
// grows linearly with the size of r.
func (t *Table[T]) Match(r *Request) (Match[T], Miss) {
	var match Match[T]
	nearest := NotFound
	t.visit(r, func(rule *rule[T], rest string) bool {
		switch miss := rule.check(r); {
		case miss == None:
			match, nearest = Match[T]{Value: rule.value, Rest: rest, Variables: Variables{rule.variables, r.Path}}, None
		case nearest == NotFound:
			nearest = miss
		}
		return nearest != None
	})
	return match, nearest
}

// Allowed returns the methods with which a route would take r, sorted: the Allow header of the
// answer to a [MethodNotAllowed] and to OPTIONS. For a route that names no methods these are the
// common ones.
func (t *Table[T]) Allowed(r *Request) []string {
	var methods []string
	t.visit(r, func(rule *rule[T], _ string) bool {
		if miss := rule.check(r); miss != None && miss != MethodNotAllowed {
			return true
		}
		methods = append(methods, rule.pattern.Methods...)
		if len(rule.pattern.Methods) == 0 {
			methods = append(methods, "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
		}
		if slices.Contains(rule.pattern.Methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		return true
	})
	slices.Sort(methods)
	return slices.Compact(methods)
}

// visit calls do with each route whose host and path match r, in order of precedence, and with what
// its '*' stands for, until do returns false. It is no iter.Seq2, which would allocate where it is
// not inlined.
func (t *Table[T]) visit(r *Request, do func(rule *rule[T], rest string) bool) {
	if !strings.HasPrefix(r.Path, "/") {
		return
	}
	for host := r.Host; ; host = wider(host) {
		if root := t.hosts[host]; root != nil && !root.walk(r.Path[1:], do) {
			return
		}
		if host == "" {
			return
		}
	}
}

// wider returns the next key of [Table.hosts] that matches a host, or all that a key matches:
// "a.b.c" leads to ".b.c", then ".c", and at last "".
func wider(host string) string {
	if dot := strings.IndexByte(host[1:], '.'); dot >= 0 {
		return host[1+dot:]
	}
	return ""
}

// node is the beginning of paths up to and including a '/', and also the path that ends before that
// '/'. The root is "/".
type node[T any] struct {
	children map[string]*node[T] // by segment
	variable *node[T]            // for any other segment
	exact    []*rule[T]          // for the path that ends here, in order of precedence
	suffix   []*rule[T]          // for what is below and ends so, in order of precedence
	prefix   []*rule[T]          // for all that is below, in order of precedence
}

// child returns the node one segment further, and makes it if there is none.
func (n *node[T]) child(s segment) *node[T] {
	if s.variable != "" {
		if n.variable == nil {
			n.variable = &node[T]{}
		}
		return n.variable
	}
	c := n.children[s.literal]
	if c == nil {
		c = &node[T]{}
		if n.children == nil {
			n.children = make(map[string]*node[T])
		}
		n.children[s.literal] = c
	}
	return c
}

// walk is visit for the routes below n; rest is what follows the beginning that n is. It returns
// false if do did.
func (n *node[T]) walk(rest string, do func(*rule[T], string) bool) bool {
	segment, below, more := strings.Cut(rest, "/")
	if next := n.children[segment]; next != nil && !next.enter(below, more, do) {
		return false
	}
	if n.variable != nil && segment != "" && !n.variable.enter(below, more, do) {
		return false
	}
	for _, rule := range n.suffix {
		if hasSuffix(rest, rule.path.suffix) && !do(rule, rest) {
			return false
		}
	}
	return each(n.prefix, rest, do)
}

// enter is walk for a path that goes on below n, or ends there.
func (n *node[T]) enter(below string, more bool, do func(*rule[T], string) bool) bool {
	if more {
		return n.walk(below, do)
	}
	return each(n.exact, "", do)
}

func each[T any](rules []*rule[T], rest string, do func(*rule[T], string) bool) bool {
	for _, rule := range rules {
		if !do(rule, rest) {
			return false
		}
	}
	return true
}
