package translate

import (
	"crypto/x509"

	"sluice/config"
	"sluice/internal/tracing"
	"sluice/tlsconf/certfile"
)

// Tracing returns what is traced, or nil without. The paths of mistakes are whole.
func Tracing(c *config.Tracing) (*tracing.Options, []Mistake) {
	if c == nil {
		return nil, nil
	}
	o := &tracing.Options{Endpoint: c.Endpoint, Headers: c.Headers, Sample: float64(c.Sample), Service: c.Service}
	if c.CA == "" {
		return o, nil
	}
	authorities, err := certfile.Authorities(c.CA)
	if err != nil {
		return nil, []Mistake{tlsMistake("tracing.ca", err)}
	}
	o.Authorities = x509.NewCertPool()
	for _, a := range authorities {
		o.Authorities.AddCert(a)
	}
	return o, nil
}
