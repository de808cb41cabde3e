package compress

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder is the part of *gzip.Writer and *zstd.Encoder that is used here.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// newEncoder returns an encoder that works in the goroutine that writes to it.
// Both kinds are about twice as fast as zlib at its level 1, which is nginx's
// default, and their answers are smaller, those of zstd most. A larger window
// would cost memory and gain little for what sites send.
func newEncoder(coding string) encoder {
	if coding == "gzip" {
		e, _ := gzip.NewWriterLevel(io.Discard, 2) // fails only for an unknown level
		return e
	}
	e, _ := zstd.NewWriter(io.Discard, // fails only for impossible options
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(256<<10),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false))
	return e
}

// A coding hands out encoders for one content coding.
type coding struct {
	name string
	idle sync.Pool     // of *pooled
	live *atomic.Int64 // how many encoders exist, for all codings of the Compressor
}

// pooled is an encoder that a cleanup can be attached to.
type pooled struct{ encoder }

// get returns an encoder that writes to w, or nil when maxEncoders exist. An
// encoder that is never put back, because its handler panicked, counts until the
// garbage collector has found it.
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

// put takes an encoder back, in any state.
func (k *coding) put(e *pooled) {
	e.Reset(io.Discard) // an idle encoder must not keep the answer in memory
	k.idle.Put(e)
}
