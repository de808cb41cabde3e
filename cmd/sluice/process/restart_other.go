//go:build !linux || portable

package process

import (
	"errors"

	"sluice/cmd/sluice/succession"
	"sluice/internal/admin"
	"sluice/internal/codec"
)

// restart is for Linux alone.
func (p *process) restart() (admin.Restart, error) {
	return admin.Restart{}, errors.New("sessions can go over to a new process on Linux alone")
}

// inherit applies the configuration.
func (p *process) inherit(_ *codec.Coder, apply func() error) error { return apply() }

// succeed does nothing.
func (p *process) succeed(*succession.Inherited) {}
