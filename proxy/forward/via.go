package forward

import (
	"fmt"
	"net/http"
	"strconv"

	"sluice/internal/header"
	"sluice/internal/message"
)

// AddVia adds this gateway to the Via header in h, for a message that came over
// an HTTP version (RFC 9110, section 7.6.3).
func AddVia(h *header.Fields, major, minor int) {
	h.Add(header.Via, fmt.Sprintf("%d.%d sluice", major, minor))
}

// hasMaxForwards reports whether Max-Forwards counts the recipients of r
// (RFC 9110, section 7.6.2).
func hasMaxForwards(r *message.Request) bool {
	return (r.Method == http.MethodOptions || r.Method == http.MethodTrace) && r.Header.Has(header.MaxForwards)
}

// validMaxForwards reports whether Max-Forwards, in a request where it counts, is
// one number.
func validMaxForwards(r *message.Request) bool {
	value := r.Header.Get(header.MaxForwards)
	return !hasMaxForwards(r) || r.Header.Count(header.MaxForwards) == 1 && value != "" && only(value, "")
}

// Last reports whether a request must not be forwarded, by its Max-Forwards.
// Otherwise it counts this gateway there, so it must be called once for each
// request. [Screen] must have let the request pass.
func Last(r *message.Request) bool {
	if !hasMaxForwards(r) {
		return false
	}
	n, err := strconv.ParseUint(r.Header.Get(header.MaxForwards), 10, 31)
	if n == 0 {
		return true
	}
	if err == nil { // else the number is too large, and n is the largest one
		n--
	}
	r.Header.Set(header.MaxForwards, strconv.FormatUint(n, 10))
	return false
}
