//go:build !linux || portable

package succession

import (
	"context"

	"sluice/internal/activation"
	"sluice/internal/codec"
)

// predecessor is for Linux alone.
type predecessor struct{}

// Begin returns what this process begins with.
func Begin(context.Context, func() error) (*Inherited, error) {
	sockets, err := activation.Inherit()
	return &Inherited{Sockets: sockets}, err
}

// Take does nothing.
func (i *Inherited) Take(any, func(*codec.Coder)) error { return nil }

// Fail does nothing.
func (i *Inherited) Fail(error) {}
