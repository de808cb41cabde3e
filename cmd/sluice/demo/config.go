package demo

import (
	"fmt"
	"strings"
)

// Config is the gateway's configuration for the demo: httpAddr serves it in the
// clear, httpsAddr over TLS with certificates of the local CA kept in stateDir,
// and backendAddr is the listener given to [Serve].
func Config(httpAddr, httpsAddr, backendAddr, stateDir string) []byte {
	return fmt.Appendf(nil, `listeners:
  - address: %s
  - address: %s
    tls: true
tls:
  self_signed: [localhost, 127.0.0.1, "::1"]
state_dir: %s
backends:
  demo:
    endpoints: [%s]
routes:
  - name: sockets
    path: /ws/*
    protocol: websocket      # a plain request gets 426
    backend: demo
    websocket:
      origins: [same-origin] # another page gets 403
  - name: page
    path: /
    backend: demo
  - name: assets
    path: /assets/*
    backend: demo
  - name: hello
    path: /hello
    respond:
      body: "Hello from sluice. No backend was asked.\n"
`, scalar(httpAddr), scalar(httpsAddr), scalar(stateDir), scalar(backendAddr))
}

// scalar quotes s for YAML and for the expansion of ${NAME} behind it.
func scalar(s string) string {
	return fmt.Sprintf("%q", strings.ReplaceAll(s, "${", "$${"))
}
