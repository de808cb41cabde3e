package admin

// Watch implements [Gateway]: too many watch already.
func (g *fakeGateway) Watch() (Watcher, func()) { return nil, nil }

// Tap implements [Gateway]: there is no session.
func (g *fakeGateway) Tap(string, TapOptions) (Tap, error) { return nil, ErrUnknown }

// Config implements [Gateway].
func (g *fakeGateway) Config() map[string]any { return map[string]any{"via": true} }
