package admin

import "runtime"

// hasPeers says that the system tells who is at the other end of a Unix socket.
const hasPeers = runtime.GOOS == "linux"
