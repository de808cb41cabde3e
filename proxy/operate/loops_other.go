//go:build !linux || portable

package operate

import (
	"context"

	"sluice/internal/admin"
)

// Loops returns nothing: there are none on this system.
func (o *Operator) Loops() []admin.Loop { return nil }

// AwaitLoops is true.
func (o *Operator) AwaitLoops(context.Context) bool { return true }

func (o *Operator) badRecords() uint64 { return 0 }
