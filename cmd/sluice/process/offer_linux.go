//go:build !portable

package process

import (
	"bytes"
	"context"
	"errors"
	"net"
	"time"

	"sluice/cmd/sluice/succession"
	"sluice/config"
)

// ask asks the process that offers its sessions, if there is one and nobody else has started this one to take over. The error says
// why it does not get them.
func (p *process) ask(ctx context.Context, inherited *succession.Inherited, cfg *config.Config) error {
	path := cfg.Takeover.Socket
	if path == "" || inherited.Continues() {
		return nil
	}
	return inherited.Ask(ctx, path, succession.Identity(cfg.Hash))
}

// prepareOffer returns the offer that a configuration asks for, which is the present one if that is the same; nil for none. Then
// changeOffer has to follow. The caller holds the lock.
func (p *process) prepareOffer(cfg *config.Config) (*succession.Offer, error) {
	path := cfg.Takeover.Socket
	switch {
	case path == "":
		return nil, nil
	case p.offer != nil && p.offer.Path() == path && p.offer.IsThere():
		return p.offer, nil
	}
	f := p.offered[path]
	delete(p.offered, path)
	o, err := succession.Listen(path, f)
	if errors.Is(err, succession.ErrTaken) {
		p.offerTaken = true
		return nil, nil
	}
	return o, err
}

// changeOffer makes next the offer if the configuration is in force, and closes the one that is none then.
func (p *process) changeOffer(next *succession.Offer, inForce bool) {
	if p.offerTaken && inForce {
		p.log().Warn().Msg("this gateway offers its sessions to no other container: another one does at the socket of 'takeover'; reload when that has ended")
	}
	p.offerTaken = false
	if next == p.offer {
		return
	}
	old := p.offer
	if !inForce {
		old, next = next, nil
	} else {
		p.offer = next
	}
	if old != nil {
		old.Close(p.owns.Load())
	}
	if next != nil {
		p.background.Go(func() { p.answerOffers(next) })
	}
}

// closeOffer closes the offer when the process ends. The caller holds the lock.
func (p *process) closeOffer() {
	if p.offer != nil {
		p.offer.Close(p.owns.Load() && p.heir.Load() == nil)
	}
}

// answerOffers lets the processes take over that ask, one after the other until one has.
func (p *process) answerOffers(o *succession.Offer) {
	defer context.AfterFunc(p.running, func() {
		p.applying.Lock() // a hand-over uses the socket
		defer p.applying.Unlock()
		o.Stop()
	})()
	for {
		child, identity, err := o.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // descriptors are short
			select {
			case <-time.After(time.Second):
			case <-p.running.Done():
				return
			}
			continue
		}
		if !bytes.Equal(identity, succession.Identity(p.loaded.Load().SHA256)) {
			err = errors.New("it runs another configuration, or in another network namespace")
		} else {
			_, err = p.replace(func() (*succession.Child, error) { return child, nil })
		}
		if err == nil {
			return
		}
		child.Refuse(err)
		if p.heir.Load() != nil {
			return // it has sessions
		}
		p.log().Warn().Err(err).Str("socket", o.Path()).Msg("a process has asked to take over, and does not")
	}
}
