package main

// tell logs what goes on: a record for each route that has a backend.
func (p *process) tell() {
	for _, r := range p.gateway.Routes() {
		p.log().Info().Str("route", r.Route).Int64("open", r.Open).Uint64("sessions", r.Sessions).
			Uint64("client_messages", r.FromClient.Messages).Uint64("client_bytes", r.FromClient.Bytes).
			Uint64("backend_messages", r.FromBackend.Messages).Uint64("backend_bytes", r.FromBackend.Bytes).
			Msg("status of a route")
	}
}
