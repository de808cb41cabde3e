//go:build !unix

package limit

import (
	"math"
	"net"
)

// ForOperators returns none: this system sets no limit.
func ForOperators() int { return 0 }

// Margin returns many: this system sets no limit.
func Margin(net.Conn) int { return math.MaxInt }

// NextMargin returns many, too.
func NextMargin() int { return math.MaxInt }
