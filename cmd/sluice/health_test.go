package main

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/config"
)

// A TLS alert is an answer: the listener wants a certificate that the probe
// does not have.
func TestProbeIsAnsweredByAnAlert(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: version, MaxVersion: version}
			s.StartTLS()
			defer s.Close()
			l := &config.Listener{Address: s.Listener.Addr().String(), TLS: true}
			if err := probe(l); err != nil {
				t.Errorf("probe = %v, want nil", err)
			}
			l.TLS = false
			if probe(l) == nil {
				t.Error("probe in the clear = nil, want an error")
			}
		})
	}
}
