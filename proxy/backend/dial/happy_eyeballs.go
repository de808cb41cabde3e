package dial

import (
	"context"
	"errors"
	"net"
	"time"
)

// fallbackDelay is how long the first of two addresses is tried alone (RFC 8305,
// section 5).
const fallbackDelay = 250 * time.Millisecond

// dialAny connects to the endpoint's address. Where there is a fallback address
// too, it tries that one as well if the first fails or takes long, and returns
// the first connection (RFC 8305).
func (d *Dialer) dialAny(ctx context.Context) (net.Conn, error) {
	// The address may hold a name that is not looked up yet. Go's own resolver
	// reports a lack of descriptors; the C library would wait for one.
	dialer := net.Dialer{Resolver: &net.Resolver{PreferGo: true}}
	if d.spec.Fallback == "" {
		return dialer.DialContext(ctx, d.spec.Network, d.spec.Address)
	}
	type result struct {
		c   net.Conn
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result)
	start := func(address string) {
		go func() { // ends with ctx at the latest
			c, err := dialer.DialContext(ctx, d.spec.Network, address)
			select {
			case results <- result{c, err}:
			case <-ctx.Done():
				if err == nil {
					c.Close()
				}
			}
		}()
	}
	defer cancel()
	start(d.spec.Address)
	delay := time.NewTimer(d.fallbackDelay)
	defer delay.Stop()
	var failed []error
	for started := 1; ; {
		select {
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			if failed = append(failed, r.err); len(failed) == 2 {
				return nil, errors.Join(failed...)
			}
		case <-delay.C:
		case <-ctx.Done():
			return nil, errors.Join(append(failed, context.Cause(ctx))...)
		}
		if started == 1 {
			started = 2
			start(d.spec.Fallback)
		}
	}
}
