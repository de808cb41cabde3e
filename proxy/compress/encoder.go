package compress

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder is what *gzip.Writer and *zstd.Encoder have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// newEncoder returns an encoder that runs in the goroutine that writes. Both
// kinds are faster than zlib at its level 1, which is nginx's default, and give
// smaller answers: gzip at level 2 is about twice as fast, zstd as well and
// smaller still. A larger window costs memory and gains little on what sites
// send.
func newEncoder(coding string) encoder {
	if coding == "gzip" {
		e, _ := gzip.NewWriterLevel(io.Discard, 2) // fails on unknown levels only
		return e
	}
	e, _ := zstd.NewWriter(io.Discard, // fails on impossible options only
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(256<<10),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false))
	return e
}

// A coding hands out encoders of one content coding.
type coding struct {
	name string
	idle sync.Pool     // of *pooled
	live *atomic.Int64 // encoders that exist, of all codings together
}

type pooled struct{ encoder }

// get returns an encoder that writes to w, or nil where too many exist. One
// that never comes back, because its handler panicked, counts until the
// collector has found it.
func (k *coding) get(w io.Writer) *pooled {
	e, _ := k.idle.Get().(*pooled)
	if e == nil {
		if k.live.Add(1) > maxEncoders {
			k.live.Add(-1)
			return nil
		}
		e = &pooled{newEncoder(k.name)}
		runtime.AddCleanup(e, func(live *atomic.Int64) { live.Add(-1) }, k.live)
	}
	e.Reset(w)
	return e
}

// put takes an encoder back in whatever state it is.
func (k *coding) put(e *pooled) {
	e.Reset(io.Discard) // it must not keep the answer alive
	k.idle.Put(e)
}
