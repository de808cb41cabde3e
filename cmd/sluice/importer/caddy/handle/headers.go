package handle

import (
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/mapping"
)

// A headerOp is one change to headers, as header, request_header, header_up and header_down say it.
type headerOp struct {
	sign  byte // '-', '+', '?', or 0 to set
	name  string
	value string
	d     *caddyfile.Directive
}

// headerOps reads the changes of a directive: one in its line, or those of its block.
func headerOps(d *caddyfile.Directive, args []string, block []*caddyfile.Directive) (ops []headerOp, unknown []*caddyfile.Directive) {
	one := func(d *caddyfile.Directive, args []string) {
		name := args[0]
		op := headerOp{d: d}
		if name != "" && strings.IndexByte("-+?>", name[0]) >= 0 {
			if op.sign = name[0]; op.sign == '>' {
				op.sign = 0
			}
			name = name[1:]
		}
		op.name = strings.TrimSuffix(name, ":")
		switch {
		case len(args) > 2 || len(args) == 1 && op.sign != '-':
			unknown = append(unknown, d) // it replaces a part of a value
			return
		case len(args) == 2:
			op.value = args[1]
		}
		ops = append(ops, op)
	}
	if len(args) > 0 {
		one(d, args)
	}
	for _, line := range block {
		switch line.Name {
		case "defer":
		case "match":
			unknown = append(unknown, line)
		default:
			one(line, append([]string{line.Name}, line.Args...))
		}
	}
	return ops, unknown
}

// responseHeaders carries changes to the headers of answers.
func (w *walk) responseHeaders(s state, d *caddyfile.Directive, args []string, block []*caddyfile.Directive) state {
	ops, unknown := headerOps(d, args, block)
	for _, op := range unknown {
		if op.Name == "match" { // all the others hold for some answers alone
			return s.note(importer.Lost, d, "sluice changes the headers of all answers of a route")
		}
		s = s.note(importer.Lost, op, "sluice sets or removes a header, and replaces nothing in its value")
	}
	for _, op := range ops {
		value, ok := headerValue(op.value)
		switch {
		case !importer.Settable(op.name) || strings.EqualFold(op.name, "Host"):
			s = s.note(importer.Lost, op.d, "sluice does not change this header")
		case op.sign == '-':
			s = s.add(op.name, "response", "remove_headers")
		case !ok:
			s = s.note(importer.Lost, op.d, "sluice does not know these placeholders")
		case op.sign != 0:
			s.soft = append(s.soft[:len(s.soft):len(s.soft)], softHeader{importer.Pair{Name: op.name, Value: value}, op.d})
		default:
			s = s.set(value, "response", "set_headers", op.name)
		}
	}
	return s
}

// requestHeader carries changes to the headers of requests. A header that cannot be set as in the source
// is removed, so that clients cannot set it. host is where the backend is, if that is one place.
func (w *walk) requestHeader(s state, d *caddyfile.Directive, args []string, hosts []string) state {
	ops, unknown := headerOps(d, args, d.Block)
	for _, op := range unknown {
		s = s.refuse(op, "sluice sets or removes a header, and replaces nothing in its value")
	}
	for _, op := range ops {
		value, ok := headerValue(op.value)
		own := importer.GatewayHeader(op.name)
		switch {
		case strings.EqualFold(op.name, "Host"):
			s = w.hostHeader(s, op, hosts)
		case !importer.Settable(op.name) && op.sign == '-':
			s = s.refuse(op.d, "sluice removes a header by its name, and none of a connection or a handshake")
		case !importer.Settable(op.name):
		case op.sign == '-':
			s = s.add(op.name, "request", "remove_headers")
		case own && ok && caddyfile.HasPlaceholder(op.value):
		case own && !ok:
			s = s.note(importer.Lost, op.d, "sluice sets this header itself; if a proxy stands in front, list it in 'trusted_proxies', and what it says is passed on")
		case op.sign != 0:
			s = s.add(op.name, "request", "remove_headers")
			s = s.note(importer.Lost, op.d, "sluice sets a header in place of what the client sends, and does not add to it; it is removed")
		case ok:
			s = s.set(value, "request", "set_headers", op.name)
		default:
			s = s.add(op.name, "request", "remove_headers")
			s = s.note(importer.Lost, op.d, "sluice does not know these placeholders; the header is removed, so that clients cannot set it")
		}
	}
	return s
}

// hostHeader carries a Host for the backend.
func (w *walk) hostHeader(s state, op headerOp, hosts []string) state {
	upstream := op.value == "{upstream_hostport}" || op.value == "{http.reverse_proxy.upstream.hostport}"
	value, ok := headerValue(op.value)
	switch {
	case upstream && len(hosts) == 1:
		return s.set(mapping.Literal(hosts[0]), "request", "set_headers", "Host")
	case value == "{host}" && op.sign == 0:
		return s
	case op.sign != 0 || !ok || value == "":
		return s.refuse(op.d, "sluice sends the host that the client asks for, or one for all endpoints")
	}
	return s.set(value, "request", "set_headers", "Host")
}
