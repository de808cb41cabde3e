package frame

import "sluice/internal/codec"

// Carry writes the direction down, or reads one: it goes on where it was, with the same moments. What is read into must come from
// [FromClient] or [FromBackend], as what was written did.
func (d *Direction) Carry(c *codec.Coder) {
	for _, n := range [...]*uint64{&d.Messages, &d.Frames, &d.Controls, &d.Bytes, &d.Ping} {
		codec.Number(c, n)
	}
	for _, n := range [...]*int64{&d.Last, &d.left, &d.size, &d.messagesFullAt, &d.bytesFullAt, &d.until} {
		codec.Number(c, n)
		c.Check(*n >= 0, "a number of a direction is negative")
	}
	codec.Number(c, &d.ForwardedPing)
	codec.Number(c, &d.OwedPong)
	codec.Number(c, &d.untilFor)
	c.Check(d.untilFor == None || d.untilFor == MessageRate || d.untilFor == ByteRate, "a wait for no rate")
	for _, b := range [...]*bool{&d.deflate, &d.fin, &d.inside, &d.fragmented, &d.over} {
		c.Bool(b)
	}
	c.Check(d.inside == (d.left > 0), "payload of no frame, or a frame without")
	c.Check(d.fragmented || !d.inside, "a frame of no message")
}
