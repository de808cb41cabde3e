package config

import "testing"

func TestMistakesInYAML(t *testing.T) {
	expectMistakes(t, []mistake{
		{"a tab", "routes:\n\t- respond: 200\n", `
2:1: not valid YAML: a tab stands here: indent with spaces`},
		{"a wildcard without quotes", `routes:
  - host: *.example.com
    respond: 200
`, `
2:11: not valid YAML: a text that begins with '*' needs quotes, as in "*.example.com"`},
		{"a path of nothing but a star", `routes:
  - path: *
    respond: 200
`, `
2:11: not valid YAML: a text that begins with '*' needs quotes, as in "*.example.com"`},
		{"a name of a value that there is not", `routes:
  - host: a.test # not *b
    redirect: *b
`, `
3:15: not valid YAML: *b stands for a value that has the name &b, and none has: put it in quotes if it is a text, as in '*b'`},
		{"a port in brackets", `listeners: [80, :8080]
`, `
1:17: not valid YAML: a text that begins with ':' needs quotes in brackets and braces, as in ":8080"`},
		{"a port in braces", `listeners:
  - { address: :8443, tls: true }
`, `
2:16: not valid YAML: a text that begins with ':' needs quotes in brackets and braces, as in ":8080"`},
		{"ports on lines of their own", `listeners: [
  :80,
  :443
]
`, `
2:3: not valid YAML: a text that begins with ':' needs quotes in brackets and braces, as in ":8080"`},
		{"an at sign", `tls:
  acme:
    email: @example.com
`, `
3:12: not valid YAML: a text that begins with '@' needs quotes`},
		{"a percent sign", `routes:
  - path: %2Fa
`, `
2:11: not valid YAML: a text that begins with '%' needs quotes`},
		{"a colon in a text", `routes:
  - respond:
      body: It works: yes
`, `
3:13: not valid YAML: the text behind 'body:' has a ':' in it: put it in quotes`},
		{"an indentation by one too many", `routes:
  - host: a
   path: /x
    respond: 200
`, `
3:4: not valid YAML: the line is indented by 3: write 0, 2 or 4 spaces, as in the lines above`},
		{"an indentation by one too few", `backends:
  app:
    endpoints: [10.0.0.1:80]
   health: http
`, `
4:4: not valid YAML: the line is indented by 3: write 0, 2 or 4 spaces, as in the lines above`},
		{"a key below a value", `routes:
  - path: /x
      respond: 200
`, `
3:7: not valid YAML: the line is indented by 6: write 0, 2 or 4 spaces, as in the lines above`},
		{"a key below an address", `backends:
  app:
    - localhost:3000
      weight: 2
`, `
4:7: not valid YAML: a key stands below a text: the line above is no key, or has its value already`},
		{"an element of a list among keys", `backends:
  app:
    endpoints: 10.0.0.1:80
    - 10.0.0.2:80
`, `
4:5: not valid YAML: an element of a list stands among keys: give the list a key of its own`},
		{"a key among elements of a list", `routes:
  - path: /a
  respond: 200
`, `
3:3: not valid YAML: a key stands among the elements of a list: put '- ' in front of it, or indent it as the keys above`},
		{"a list on the line of its key", `routes: - path: /a
`, `
1:9: not valid YAML: a list begins on a line of its own, below its key`},
		{"an element outside of its list", `routes:
 - path: /a
   respond: 200
- path: /b
  respond: 200
`, `
4:1: not valid YAML: the line is indented by 0, and the elements above by 1: begin all in the same column`},
		{"keys beside their section", `routes:
  - path: /a
    respond:
    status: 200
`, `
3:13: routes[0].respond: expected a mapping with status, body, content_type, found nothing: remove the key or give it a value (its keys are indented further than itself)
4:5: routes[0].status: unknown key "status": it is a key of 'backends.health', 'routes.redirect' and 'routes.respond'`},
		{"a quote that is closed by the next", `routes:
  - path: "/a
    backend: "localhost:3000"
`, `
2:11: not valid YAML: the quote that begins here is closed by the next one, on line 3: close it on its own line`},
		{"no space behind a colon", `routes:
  - host:example.com
    respond: 200
`, `
2:5: not valid YAML: 'host:' needs a space behind it`},
		{"no space behind the last colon", `routes:
  - path: /
    respond:200
`, `
3:5: not valid YAML: 'respond:' needs a space behind it`},
		{"no space behind the only colon", `routes:
  - path:/a
`, `
2:5: routes[0]: expected a mapping with name, host, path, methods, headers and others, found the single value "path:/a": 'path:' needs a space behind it`},
		{"no colon", `routes
  - path: /a
`, `
1:1: not valid YAML: 'routes' needs a ':' behind it`},
		{"a bracket that is open", `routes:
  - methods: [GET, POST
    respond: 200
`, `
2:14: not valid YAML: a ',' or ']' is missing in the list that begins here; a text with one of [ ] { } or ': ' in it needs quotes`},
		{"a brace that is open at the end", `routes:
  - { path: /a, respond: 200
`, `
2:5: not valid YAML: a ',' or '}' is missing in the mapping that begins here; a text with one of [ ] { } or ': ' in it needs quotes`},
		{"a comma that is missing between lines", `routes: [
  { path: /a, respond: 200 },
  { path: /b, respond: 200 }
  { path: /c, respond: 200 },
]
`, `
3:29: not valid YAML: a ',' or ']' is missing at the end of this line, in the list that begins on line 1`},
		{"a segment in braces", `routes:
  - { path: /users/{id}/ws, respond: 200 }
`, `
2:5: not valid YAML: a ',' or '}' is missing in the mapping that begins here; a text with one of [ ] { } or ': ' in it needs quotes`},
		{"two commas", `routes: [{ methods: [GET,, POST], respond: 200 }]
`, `
1:26: not valid YAML: a value is missing before ','`},
		{"a quote that is open", `routes:
  - respond: { body: "It works }
  - path: /b
`, `
2:22: not valid YAML: the quote that begins here is not closed`},
		{"a text behind a quote", `routes:
  - respond:
      body: "It" works
`, `
3:18: not valid YAML: more text stands behind what '"' closes: put all of the value in quotes`},
		{"a text behind a brace", `routes:
  - path: {id}/ws
    respond: 200
`, `
2:15: not valid YAML: more text stands behind what '}' closes: put all of the value in quotes`},
		{"a variable without quotes", `routes:
  - backend: localhost:3000
    request: { set_headers: { X-Route: {route} } }
`, `
3:31: routes[0].request.set_headers.X-Route: expected a single value, found a mapping: a text that begins with '{' needs quotes`},
		{"an escape that is none", `routes:
  - path: "/\d+"
    respond: 200
`, `
2:13: not valid YAML: in double quotes '\' begins an escape: write '\\' for the sign itself, or put the text in single quotes`},
		{"a text on the line of its sign", `routes:
  - respond:
      body: |It works
`, `
3:7: not valid YAML: a text behind '|' or '>' begins on the next line`},
		{"a tag", `routes:
  - respond: { body: !important }
`, `
2:22: routes[0].respond.body: the tag !important means nothing here: remove it, or put the text in quotes`},
		{"a merge key", `log: &log { level: warn }
routes: [{ respond: 200, websocket: { <<: *log } }]
`, `
2:26: routes[0].websocket: no WebSocket reaches this route: it has no backend; remove the section
2:39: routes[0].websocket: merge keys (<<) are not supported: repeat a whole value with an alias, or write its keys out`},
		{"a key twice", `routes:
  - backend: 10.0.0.1:80
    backend: 10.0.0.2:80
`, `
3:5: routes[0].backend: key "backend" is given twice, first at line 2`},
		{"a key without a value", `routes:
  - path: /a
    backend:
`, `
3:13: routes[0].backend: expected a single value, found nothing: remove the key or give it a value`},
		{"yes and no", `via: yes
log: { access: no }
routes: [{ respond: 200 }]
`, `
1:6: via: "yes" is not true or false: write true
2:16: log.access: "no" is not true or false: write false`},
		{"a number with a zero in front", `listeners:
  - { address: unix:/run/a.sock, mode: 0660 }
  - 08080
routes: [{ respond: 200 }]
`, `
2:40: listeners[0].mode: "0660" is not in quotes, so that some readers of YAML take it for another number: put it in quotes
3:5: listeners[1].address: "08080" has a port that is not a number from 0 to 65535`},
		{"a variable that is not set", `state_dir: ${DATA}/sluice
routes: [{ respond: 200 }]
`, `
1:12: state_dir: "${DATA}/sluice" needs the environment variable DATA, which is not set (${NAME:-default} gives a default)`},
		{"a variable that is not ended", `state_dir: ${DATA/sluice
routes: [{ respond: 200 }]
`, `
1:12: state_dir: "${DATA/sluice" has a ${ that begins no ${NAME} or ${NAME:-default}: write $${ if it is meant as it stands`},
		{"a file of a Windows editor", "\xff\xfer\x00o\x00", `
1:1: the file is not plain UTF-8 text: found byte 0xff; save it as UTF-8`},
		{"two documents", `routes: [{ respond: 200 }]
---
log: { level: warn }
`, `
2:1: a second document starts here: put everything into one`},
	})
}
