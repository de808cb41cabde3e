package main

// logStatus logs the counts of the gateway: a record for each route that has a
// backend, one for each endpoint, and one for each event loop.
func (p *process) logStatus() {
	for _, r := range p.gateway.Routes() {
		p.log().Info().Str("route", r.Route).Int64("open", r.Open).Uint64("sessions", r.Sessions).
			Uint64("client_messages", r.FromClient.Messages).Uint64("client_bytes", r.FromClient.Bytes).
			Uint64("backend_messages", r.FromBackend.Messages).Uint64("backend_bytes", r.FromBackend.Bytes).
			Msg("status of a route")
	}
	for _, e := range p.gateway.Backends() {
		p.log().Info().Str("backend", e.Backend).Str("endpoint", e.Endpoint).Str("state", e.State).
			Int("sessions", e.Sessions).Int("requests", e.Requests).Msg("status of an endpoint")
	}
	for _, l := range p.gateway.Loops() {
		p.log().Info().Int("loop", l.Number).Int64("connections", l.Connections).Uint64("turns", l.Turns).
			Dur("turn_p99_ms", l.P99).Dur("turn_p99_9_ms", l.P999).Dur("turn_longest_ms", l.Longest).
			Msg("status of a loop")
	}
}
