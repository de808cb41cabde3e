//go:build !linux || portable

package main

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

// inherit does nothing.
func (p *process) inherit(*codec.Coder) error { return nil }

// succeed does nothing.
func (p *process) succeed(*succession.Inherited) {}
