package admin

import (
	"os"
	"sync"
)

// reserved is how many descriptors are kept for operators on one way.
const reserved = 4

// reserve is descriptors that are open for nothing, so that the interface can be reached while the
// process may open no more: one is closed for each connection that needs it. The nil reserve has none.
type reserve struct {
	mu    sync.Mutex
	files []*os.File
}

// fill opens what is missing, as far as the process may.
func (r *reserve) fill() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.files) < reserved {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		r.files = append(r.files, f)
	}
}

// spend closes one, if there is one.
func (r *reserve) spend() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.files) - 1
	if last < 0 {
		return false
	}
	r.files[last].Close()
	r.files = r.files[:last]
	return true
}

// drop closes all.
func (r *reserve) drop() {
	for r.spend() {
	}
}
