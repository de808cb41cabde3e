//go:build !linux || portable

package succession

import (
	"context"
	"os"

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
func (i *Inherited) Take(any, func(), func(*codec.Coder)) (stop bool, err error) { return false, nil }

// Fail does nothing.
func (i *Inherited) Fail(error) {}

// Child is for Linux alone.
type Child struct{}

// Asked is false.
func (*Child) Asked() bool { return false }

// Signal does nothing.
func (*Child) Signal(os.Signal) error { return nil }

// Offer is for Linux alone.
type Offer struct{}
