package limit

import "math"

// connectionMemory is the most memory that a connection of a client takes
// beside its requests, in bytes: TLS and HTTP.
const connectionMemory = 32 << 10

// MaxConnections returns how many connections of clients the process may have
// open at once, and what allows no more. It is the lesser of half of the
// descriptors, because each connection may need another one to a backend, and
// of what fits into half of the memory limit. Sessions, the number of those
// connections that are WebSockets, take next to no memory and do not count
// there.
func MaxConnections(sessions int64) (most int64, scarcest Shortage) {
	most = math.MaxInt64
	if n, ok := descriptorLimit(); ok {
		most, scarcest = max(n/2, 1), NoDescriptors
	}
	if memory, ok := memoryLimit(); ok {
		if n := max(memory/2/connectionMemory, 1) + sessions; n < most {
			most, scarcest = n, NoMemory
		}
	}
	return most, scarcest
}
