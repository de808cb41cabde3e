package forward

import (
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"sync"

	"sluice/internal/fieldname"
	"sluice/internal/header"
	"sluice/internal/hop"
	"sluice/internal/message"
)

// maxInformational is the most informational answers to one request.
const maxInformational = 32

// informational passes informational answers on to the client until the final
// answer begins. A 100 is the gateway's own: it is sent before the body is first
// read, which the transport does when the backend asks for the body, or takes too
// long.
type informational struct {
	w        http.ResponseWriter
	passes   bool           // false over HTTP/1.0, which has no informational answers
	expects  bool           // the client waits for a 100, which the server must not send by itself
	reserved *fieldname.Set // names that must not pass

	mu     sync.Mutex
	passed int
	ended  bool
}

func newInformational(w http.ResponseWriter, r *message.Request, reserved *fieldname.Set) *informational {
	return &informational{
		w:        w,
		reserved: reserved,
		passes:   r.ProtoAtLeast(1, 1),
		expects: r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.ContentLength != 0 &&
			r.Header.HasToken(header.Expect, "100-continue"),
	}
}

// proceed makes the client send its body. Over HTTP/1.1 the server would do that
// by itself, but maybe while pass is writing.
func (i *informational) proceed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.expects && !i.ended {
		i.w.WriteHeader(http.StatusContinue)
	}
}

// pass passes one answer on.
func (i *informational) pass(code int, fields textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.passed++; i.passed > maxInformational {
		return errors.New("the backend sends one informational answer after the other")
	}
	if i.ended || !i.passes || code == http.StatusContinue {
		return nil
	}
	h := header.FromHTTP(http.Header(fields))
	hop.Strip(&h)
	i.reserved.Strip(&h)
	maps.Copy(i.w.Header(), h.HTTP())
	i.w.WriteHeader(code)
	clear(i.w.Header()) // they do not belong to the final answer
	return nil
}

// end makes pass and proceed do nothing from now on.
func (i *informational) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
}
