package demo

import (
	"net/http"

	"github.com/gobwas/ws"
)

const maxEcho = 128 << 10 // bytes of a message

// echo sends every message back as one frame. It reads the next message only
// when the last one is written, so a client that does not read costs the memory
// of one message.
func echo(w http.ResponseWriter, r *http.Request) {
	s, ok := open(r.Context(), w, r, maxEcho)
	if !ok {
		return
	}
	for {
		op, message, err := s.next()
		if err == nil {
			err = s.write(ws.NewFrame(op, true, message))
		}
		if err != nil {
			s.finish(err)
			return
		}
	}
}
