package config

import "testing"

func TestProblemsOfTracing(t *testing.T) {
	expectProblems(t, []problems{
		{"tracing", ok + `tracing: { endpoint: 'grpc://a:4317', sample: 101%, headers: { Content-Type: a, a: "x\ny", A: b, 'c d': e, Connection: f, user-agent: g }, service: '', ca: c.pem, propagate: true }`, []string{
			`2:22: tracing.endpoint: "grpc://a:4317" has a scheme that is not http or https: spans are sent as OTLP over HTTP, on port 4318 of most collectors; 4317 is gRPC`,
			`2:47: tracing.sample: "101%" is not a share of 0% to 100%: write it as in 20% or 0.5%`,
			`2:78: tracing.headers.Content-Type: "Content-Type" says what the gateway sends: it sets it itself`,
			`2:84: tracing.headers.a: "x\ny" is not a value for a header: it has a line break, ...`,
			`2:95: tracing.headers.A: "A" is given twice, first at line 2: names of headers ignore case`,
			`2:105: tracing.headers."c d": "c d" is not a name of a header`,
			`2:120: tracing.headers.Connection: "Connection" belongs to the connection: sluice sets it itself`,
			`2:135: tracing.headers.user-agent: "user-agent" says what the gateway sends: it sets it itself`,
			`2:149: tracing.service: "" is empty: give it a value or remove the key`,
			`2:164: tracing.propagate: unknown key "propagate": the keys here are endpoint, sample, headers, service, ca`,
		}},
		{"tracing without a URL", ok + "tracing: 127.0.0.1:4318", []string{`2:10: tracing.endpoint: "127.0.0.1:4318" has no scheme: write http:// or https:// in front of it`}},
		{"tracing with a user", ok + "tracing: http://a:b@c", []string{`2:10: tracing.endpoint: "http://a:b@c" has a user name in it: set an Authorization header with 'headers' instead`}},
		{"tracing with a query", ok + "tracing: http://c?key=d", []string{`2:10: tracing.endpoint: "http://c?key=d" has more than scheme, host, port and path: what is secret belongs into 'headers'`}},
		{"tracing without a host", ok + "tracing: 'http://:4318'", []string{`2:10: tracing.endpoint: "http://:4318" is not a URL such as http://127.0.0.1:4318`}},
		{"tracing with authorities for nothing", ok + "tracing: { endpoint: 'http://c', ca: c.pem }", []string{`2:38: tracing.ca: it has no meaning for an endpoint without TLS: remove it, or write https`}},
		{"tracing nowhere", ok + "tracing: { sample: 1% }", []string{`2:1: tracing.endpoint: no endpoint: the key is required`}},
	})
}
