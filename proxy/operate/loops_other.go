//go:build !linux || portable

package operate

import "sluice/internal/admin"

// Loops returns nothing: there are none on this system.
func (o *Operator) Loops() []admin.Loop { return nil }

func (o *Operator) badRecords() uint64 { return 0 }
