//go:build linux

package loop

// hosted is the connections on a loop that goroutines have for themselves, and the loop's
// [Handler] for them.
type hosted struct {
	loop  *Loop
	slots Slots[hostedSlot, hostedRefs, *hostedSlot]
}

type hostedSlot struct{ Entry }

type hostedRefs struct{ conn *Conn }

func newHosted(l *Loop) *hosted {
	h := &hosted{loop: l}
	h.slots.Kind = l.AddHandler(h)
	return h
}

// Host makes the loop wake the goroutines that use a connection, unless a loop does. It closes
// the connection if the loop is over or has no epoll set. Any goroutine may call it.
func (l *Loop) Host(c *Conn) {
	c.mu.Lock()
	hosted := c.loop != nil
	if !hosted {
		c.loop = l
	}
	c.mu.Unlock()
	if hosted {
		return
	}
	if !l.Reserve() {
		c.Close()
		return
	}
	l.Enter(func() {
		p, r := l.hosted.slots.Alloc()
		r.conn = c
		c.slot = p.SlotID()
		if err := l.Add(c, &p.Entry, (*hostedConn)(c)); err != nil || l.stopping {
			l.hosted.forget(p.SlotID())
			c.Close()
		}
	})
}

// HostedBy returns the loop that hosts the connection, or will soon, or nil.
func (c *Conn) HostedBy() *Loop {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loop
}

// hostedConn is a connection as its own owner.
type hostedConn Conn

// Closed implements [Owner].
func (c *hostedConn) Closed() {
	c.mu.Lock()
	l, slot := c.loop, c.slot
	c.mu.Unlock()
	l.Post(func() { l.hosted.forget(slot) })
}

// forget frees the slot of a connection.
func (h *hosted) forget(id SlotID) {
	if p, _, ok := h.slots.At(id); ok {
		h.slots.Retire(p)
	}
}

// Ready implements [Handler].
func (h *hosted) Ready(id SlotID, _ uint8, events uint32) {
	if _, r, ok := h.slots.At(id); ok {
		r.conn.Notify(events)
	}
}

// Due implements [Handler]: goroutines have deadlines of their own.
func (h *hosted) Due(SlotID) {}

// BatchDone implements [Handler].
func (h *hosted) BatchDone() {
	if n := h.slots.FreeRetired(); n > 0 {
		h.loop.Leave(n)
	}
}

// Stop implements [Handler].
func (h *hosted) Stop() {
	h.slots.Each(func(_ *hostedSlot, r *hostedRefs) { r.conn.Close() })
}
