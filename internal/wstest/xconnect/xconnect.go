// Package xconnect has the HTTP/2 servers of a test accept extended CONNECT
// (RFC 8441). net/http reads the switch when it is initialised, which is after
// this package: this one waits for nothing but os.
package xconnect

import "os"

var _ = os.Setenv("GODEBUG", os.Getenv("GODEBUG")+",http2xconnect=1")
