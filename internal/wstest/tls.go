package wstest

import (
	"crypto/tls"
	"io"
)

// HandshakeTLS does the handshake of both ends of a connection and sends a byte each way,
// so that what the server sends behind its handshake (session tickets) has arrived too.
// An end that fails is closed, so that the other one does not wait for it.
func HandshakeTLS(client, server *tls.Conn) (clientErr, serverErr error) {
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(server, server, 1)
		if err != nil {
			server.Close()
		}
		done <- err
	}()
	_, clientErr = client.Write([]byte("x"))
	if clientErr == nil {
		_, clientErr = io.ReadFull(client, make([]byte, 1))
	}
	if clientErr != nil {
		client.Close()
	}
	return clientErr, <-done
}
