package relay

import (
	"testing"

	"sluice/internal/clock"
	"sluice/proxy/relay/relaytest"
)

// engineFixture is the engine of this system, which runs while a test does.
type engineFixture struct {
	*relaytest.Fixture
	engine *Engine
}

func newFixture(t testing.TB) *engineFixture {
	h := new(engineFixture)
	h.Fixture = relaytest.NewFixture(t, func(sink Sink) relaytest.Engine {
		h.engine = New(sink, clock.New())
		return h.engine
	})
	return h
}
