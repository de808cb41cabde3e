package handle

import (
	"slices"
	"strconv"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/mapping"
)

// transport carries how endpoints are spoken to.
func (u *upstream) transport(s state, d *caddyfile.Directive) state {
	if d.Arg(0) != "http" {
		return s.refuse(d, "sluice speaks HTTP to backends: put a server that does too between")
	}
	for _, o := range d.Block {
		t, isTime := caddyfile.Duration(o.Arg(0))
		switch o.Name {
		case "tls":
			u.tls = true
		case "tls_server_name":
			u.keys.Set(o.Arg(0), "tls", "server_name")
			u.tls = true
		case "tls_insecure_skip_verify":
			u.keys.Set(true, "tls", "insecure")
			u.tls = true
		case "tls_trusted_ca_certs":
			u.authority(o, o.Args)
		case "tls_trust_pool":
			if o.Arg(0) != "file" || len(o.Block) > 0 {
				u.note(importer.Refused, o, "sluice reads authorities from one file: 'ca'")
				continue
			}
			u.authority(o, o.Args[1:])
		case "tls_client_auth":
			if len(o.Args) != 2 {
				u.note(importer.Refused, o, "sluice shows a certificate from files: 'cert' and 'key'")
				continue
			}
			u.keys.Set(u.w.config.absolute(o.Arg(0)), "tls", "cert")
			u.keys.Set(u.w.config.absolute(o.Arg(1)), "tls", "key")
			u.tls = true
		case "dial_timeout":
			if isTime {
				u.keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "connect_timeout")
			}
		case "response_header_timeout":
			if isTime {
				s = s.set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "timeouts", "response")
			}
		case "keepalive":
			if o.Arg(0) == "off" {
				u.keys.Set(mapping.Amount("off"), "keepalive", "idle")
			} else if isTime {
				u.keys.Set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "keepalive", "timeout")
			}
		case "keepalive_idle_conns_per_host":
			if n, err := strconv.Atoi(o.Arg(0)); err == nil && n > 0 {
				u.keys.Set(min(n, 100_000), "keepalive", "idle")
			}
		case "max_conns_per_host":
			u.limit(o)
		case "versions":
			if slices.Contains(o.Args, "h2c") {
				u.h2c = o
			} else if u.tls && slices.Contains(o.Args, "2") {
				u.keys.Set(true, "http2")
			}
		case "proxy_protocol":
			u.keys.Set(o.Arg(0), "proxy_protocol")
		case "compression", "read_buffer", "write_buffer", "keepalive_interval", "keepalive_idle_conns", "expect_continue_timeout",
			"dial_fallback_delay", "max_response_header", "tls_timeout", "resolvers", "read_timeout", "write_timeout":
		case "tls_curves", "tls_renegotiation", "local_address":
			u.note(importer.Lost, o, "sluice has nothing like it")
		default:
			u.note(importer.Refused, o, "sluice does not know "+o.Name+", or has nothing like it")
		}
	}
	return s
}

// authority sets the file of authorities.
func (u *upstream) authority(d *caddyfile.Directive, files []string) {
	if len(files) != 1 {
		u.note(importer.Refused, d, "sluice reads authorities from one file: 'ca'")
		return
	}
	u.keys.Set(u.w.config.absolute(files[0]), "tls", "ca")
	u.tls = true
}
