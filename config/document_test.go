package config

import (
	"fmt"
	"strings"
	"testing"

	"sluice/config/decode"
)

func TestProblemsOfTheDocument(t *testing.T) {
	deep := strings.Repeat("[", 60) + strings.Repeat("]", 60)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	expectProblems(t, []problems{
		{"empty", "", []string{"1:1: routes: no routes: the key is required"}},
		{"only comments", "# nothing\n", []string{"1:1: routes: no routes: the key is required"}},
		{"null", "~", []string{"1:1: routes: no routes: the key is required"}},
		{"text", "\nhello", []string{`2:1: expected a mapping with include, listeners, tls, backends, routes, trusted_proxies, via, max_sessions, http, log, admin, tracing, state_dir, shutdown, shutdown_timeout, takeover, watch, found the single value "hello"`}},
		{"list", "- a", []string{"1:1: expected a mapping with ..."}},
		{"two documents", ok + "---\nb: 1\n", []string{"2:1: a second document starts here: put everything into one"}},
		{"second document broken", ok + "---\n[\n", []string{"3:1: not valid YAML: '[' is not closed"}},
		{"not YAML", "routes:\n  - a: [\n", []string{"2:8: not valid YAML: '[' is not closed"}},
		{"open bracket", "a: 1\nb: [1, 2\nc: 2\nd: 1\n", []string{"2:4: not valid YAML: a ',' or ']' is missing in the list that begins here; a text with one of [ ] { } or ': ' in it needs quotes"}},
		{"odd indentation", "a:\n    b: 1\n  c: 2\nd: 1", []string{"3:3: not valid YAML: the line is indented by 2: write 0 or 4 spaces, as in the lines above"}},
		{"colon in a value", "a: 1\nb: c: d\n", []string{"2:4: not valid YAML: the text behind 'b:' has a ':' in it: put it in quotes"}},
		{"tab", "routes:\n\t- a\n", []string{"2:1: not valid YAML: a tab stands here: indent with spaces"}},
		{"unknown alias", "routes:\n  - *a\n", []string{"2:5: not valid YAML: *a stands for a value that has the name &a, and none has: put it in quotes if it is a text, as in '*a'"}},
		{"control character", "routes:\n  é\x00", []string{"2:4: the file is not plain UTF-8 text: found byte 0x00; save it as UTF-8"}},
		{"not UTF-8", "a\xff", []string{"1:2: the file is not plain UTF-8 text: found byte 0xff; save it as UTF-8"}},
		{"too big", strings.Repeat(" ", decode.MaxSize+1), []string{"1:1: the file is larger than 4194304 bytes, the most that is read"}},
		{"too deep", "a: " + deep, []string{"1:54: more than 50 mappings and lists in one another"}},
		{"alias inside itself", "routes: &a [*a]", []string{"1:13: alias *a stands inside what it repeats"}},
		{"alias bomb", bomb, []string{"1:12: the aliases of the file repeat more than 100000 values"}},
		{"merge key", ok + "log: { <<: { level: info } }", []string{"2:8: log: merge keys (<<) are not supported: repeat a whole value with an alias, or write its keys out"}},
		{"tag", ok + "state_dir: !x y", []string{"2:12: state_dir: the tag !x means nothing here: remove it, or put the text in quotes"}},
	})
}

// U+FFFD, which decoders put in the place of what they cannot read, is a character as others are.
func TestCharactersThatYAMLAllows(t *testing.T) {
	if _, err := Parse("f", []byte(ok+"# \ufffd \ue000 \U0010ffff\n"), Options{}); err != nil {
		t.Error(err)
	}
}

func TestProblemsOfForm(t *testing.T) {
	expectProblems(t, []problems{
		{"unknown key with a suggestion", ok + "lgo: {}", []string{`2:1: lgo: unknown key "lgo", did you mean "log"?`}},
		{"unknown key without", "routes: [{ respond: { colour: red } }]", []string{`1:23: routes[0].respond.colour: unknown key "colour": the keys here are status, body, content_type`}},
		{"unknown key among many", "routes: [{ respond: 200, colour: red }]", []string{`1:26: routes[0].colour: unknown key "colour": remove it; docs/configuration.md has the keys of 'routes'`}},
		{"long key", ok + strings.Repeat("k", 100) + ": 1", []string{`2:1: "` + strings.Repeat("k", 80) + `...": unknown key "` + strings.Repeat("k", 80) + `...": ...`}},
		{"alias of a key", "log: &a {}\n*a : {}\n" + ok, []string{"2:1: a key must be a single value, found a mapping"}},
		{"key of a list", ok + "? [a]\n: b", []string{`2:3: a key must be a single value, found a list`}},
		{"duplicate key", ok + "log: {}\nlog: {}", []string{`3:1: log: key "log" is given twice, first at line 2`}},
		{"duplicate header", "routes: [{ respond: 200, headers: { A: b, A: c } }]", []string{`1:43: routes[0].headers.A: key "A" is given twice, first at line 1`}},
		{"mapping for a list", "routes: {}", []string{"1:1: routes: expected a list, found a mapping: put '- ' in front of each element"}},
		{"value for a list", "routes: [{ respond: 200, methods: GET }]", []string{`1:35: routes[0].methods: expected a list, found the single value "GET": put it in brackets, as in [GET]`}},
		{"empty list", ok + "listeners: []", []string{"2:1: listeners: the list is empty: add to it or remove the key"}},
		{"empty list that is required", "routes: []", []string{"1:1: routes: the list is empty: add to it"}},
		{"number that is not of the list", "routes: [{ redirect: { to: /a, status: 200 } }]", []string{
			`1:40: routes[0].redirect.status: "200" is not one of 301, 302, 303, 307, 308`,
		}},
		{"list for a value", ok + "state_dir: [a]", []string{"2:1: state_dir: expected a single value, found a list: a text that begins with '[' needs quotes"}},
		{"nothing for a value", ok + "state_dir:", []string{"2:11: state_dir: expected a single value, found nothing: remove the key or give it a value"}},
		{"nothing for a section", ok + "log:", []string{"2:5: log: expected a mapping with level, format, access, redact, found nothing: remove the key or give it a value (its keys are indented further than itself)"}},
		{"null in a list", "routes: [{ backend: 'a:1', websocket: { origins: [null] } }]", []string{"1:51: routes[0].websocket.origins[0]: expected a single value, found null (in quotes it is text)"}},
		{"value for a mapping", "routes: [{ respond: 200, query: a }]", []string{`1:33: routes[0].query: expected a mapping of names to values, found the single value "a"`}},
		{"list of backends", ok + "backends: [a]", []string{"2:1: backends: expected a mapping of names to backends, found a list: write a name and ':' in front of each element"}},
		{"mapping for an endpoint", ok + "backends: { a: { endpoints: [{}] } }", []string{"2:30: backends.a.endpoints[0].address: no address: the key is required"}},
		{"no switch", ok + "log: { access: yes }", []string{`2:16: log.access: "yes" is not true or false: write true`}},
		{"no number", "routes: [{ respond: 0xC8 }]", []string{`1:21: routes[0].respond.status: "0xC8" is not a whole number`}},
		{"enum", ok + "log: { level: warning }", []string{`2:15: log.level: "warning" is not one of debug, info, warn, error, did you mean "warn"?`}},
		{"duration without unit", ok + "shutdown_timeout: 30", []string{`2:19: shutdown_timeout: "30" has no unit: add a unit, as in 30s`}},
		{"negative duration", ok + "shutdown_timeout: -1s", []string{`2:19: shutdown_timeout: "-1s" is too short: the least is 0s`}},
		{"no time to connect", ok + "backends: { a: { endpoints: ['a:1'], connect_timeout: 0s } }", []string{`2:55: backends.a.connect_timeout: "0s" is too short: the least is 1ms`}},
		{"overlong duration", ok + "shutdown_timeout: 25h", []string{`2:19: shutdown_timeout: "25h" is too long: the most is 1d`}},
		{"missing keys", ok + "tls: { certificates: [{}] }", []string{
			"2:23: tls.certificates[0].cert: no cert: the key is required", "2:23: tls.certificates[0].key: no key: the key is required",
		}},
	})
}

func TestProblemsOfEnvironmentVariables(t *testing.T) {
	expectProblems(t, []problems{
		{"unset variable", ok + "state_dir: a${NOPE}", []string{`2:12: state_dir: "a${NOPE}" needs the environment variable NOPE, which is not set (${NAME:-default} gives a default)`}},
		{"broken variable", ok + "state_dir: ${a b}", []string{`2:12: state_dir: "${a b}" has a ${ that begins no ${NAME} or ${NAME:-default}: write $${ if it is meant as it stands`}},
		{"variable in a key", "routes: [{ respond: 200, query: { '${NAME}': a } }]", []string{`1:35: routes[0].query."${NAME}": variables are expanded in values, not in keys`}},
		{"empty variable", "routes: [{ host: '${EMPTY}', respond: 200 }]", []string{`1:18: routes[0].host: "${EMPTY}" is empty: remove the key to match any host`}},
		{"secrets stay out of messages", `
listeners: ["${SECRET}"]
tls: { self_signed: ["${SECRET}:1"], min_version: "${SECRET}" }
backends: { a: { endpoints: ["http://${SECRET}/x", "é${SECRET}:1"] } }
routes:
  - { backend: "${SECRET}", host: "é${SECRET}", methods: ["${SECRET} "], websocket: { origins: ["${SECRET}"] } }
  - { backend: a, request: { set_headers: { A: "${SECRET}\n" }, set_headers_file: { B: "${SECRET}" } } }
shutdown_timeout: ${SECRET}`, []string{
			`2:13: listeners[0].address: "${SECRET}" has no port: write host:port`,
			`3:22: tls.self_signed[0]: "${SECRET}:1" has a ':' but is not an IP address`,
			`3:51: tls.min_version: "${SECRET}" is not one of 1.2, 1.3`,
			`4:30: backends.a.endpoints[0].address: "http://${SECRET}/x" has more than scheme, ...`,
			`4:52: backends.a.endpoints[1].address: "é${SECRET}:1" is not ASCII: write the name in punycode`,
			`6:16: routes[0].backend: unknown backend "${SECRET}": the backends are a; ...`,
			`6:35: routes[0].host: "é${SECRET}" is not ASCII: write the name in punycode`,
			`6:59: routes[0].methods[0]: "${SECRET} " is not a method`,
			`6:97: routes[0].websocket.origins[0]: "${SECRET}" has no scheme`,
			`7:48: routes[1].request.set_headers.A: "${SECRET}\n" is not a value for a header: ...`,
			`7:88: routes[1].request.set_headers_file.B: "${SECRET}" cannot be read: file does not exist`,
			`8:19: shutdown_timeout: "${SECRET}" is not a duration: ...`,
		}},
	})
}
