// Package integration tests the built binary from outside: over sockets, by its
// log, its output and its exit code. Nothing here imports a package of sluice
// but wstest, the tools for tests.
//
// The clients and servers nobody of sluice wrote (Chromium, Twisted with txWS,
// python3-websockets, ws for Node.js, curl) are installed by install.sh; a test
// whose tool is missing fails.
package integration
