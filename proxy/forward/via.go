package forward

import (
	"fmt"
	"net/http"
)

// AddVia notes in h that a message came over HTTP of a version through this
// gateway (RFC 9110, section 7.6.3).
func AddVia(h http.Header, major, minor int) {
	h["Via"] = append(h["Via"], fmt.Sprintf("%d.%d sluice", major, minor))
}
