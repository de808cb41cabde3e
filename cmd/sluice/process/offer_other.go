//go:build !linux || portable

package process

import (
	"context"
	"errors"

	"sluice/cmd/sluice/succession"
	"sluice/config"
)

// ask does nothing.
func (p *process) ask(context.Context, *succession.Inherited, *config.Config) error { return nil }

// prepareOffer returns no offer.
func (p *process) prepareOffer(cfg *config.Config) (*succession.Offer, error) {
	if cfg.Takeover.Socket != "" {
		return nil, errors.New("sessions can go over to another process on Linux alone")
	}
	return nil, nil
}

// changeOffer does nothing.
func (p *process) changeOffer(*succession.Offer, bool) {}

func (p *process) closeOffer() {}
