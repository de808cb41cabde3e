// Package integration tests the built binary from outside: over sockets, by its
// log, its output and its exit code. Nothing here imports a package of sluice
// except wstest, the tools for tests.
//
// Clients and servers that are not part of sluice (Chromium, Twisted with txWS,
// python3-websockets, python3-h11, ws for Node.js, mosquitto, websockify, curl) are installed by install.sh. A test
// whose tool is missing fails.
package integration
