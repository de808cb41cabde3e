package operate

import (
	"sluice/internal/admin"
	"sluice/internal/limit"
)

// AddUse adds to s how much of its limits the gateway uses.
func (o *Operator) AddUse(s *admin.Status) {
	descriptors, memory := limit.ProcessUse(o.server.Engine().Memory())
	s.Descriptors, s.Memory = admin.Usage(descriptors), admin.Usage(memory)
	s.Sessions = admin.Usage{Used: o.server.Sessions(), Limit: int64(o.current().MaxSessions)}
	s.Requests, s.Loops = o.server.Requests(), o.Loops()
}
