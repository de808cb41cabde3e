package admin

// Watch implements [Gateway]: too many watch already.
func (g *fakeGateway) Watch() (Watcher, func()) { return nil, nil }

// Tap implements [Gateway]: there is no session, unless atTap says otherwise.
func (g *fakeGateway) Tap(string, TapOptions) (Tap, error) {
	if g.atTap != nil {
		return g.atTap()
	}
	return nil, ErrUnknown
}

// Config implements [Gateway].
func (g *fakeGateway) Config() map[string]any { return map[string]any{"via": true} }
