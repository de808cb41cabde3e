package demo

import (
	"fmt"
	"strings"
)

// Config returns the configuration of the gateway for the demo. It serves the demo
// at httpAddr in the clear, and at httpsAddr over TLS with certificates of the
// local CA in stateDir. BackendAddr is the address of the listener for [Serve].
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

// scalar returns s quoted for YAML, and for the expansion of ${NAME} after that.
func scalar(s string) string {
	return fmt.Sprintf("%q", strings.ReplaceAll(s, "${", "$${"))
}
