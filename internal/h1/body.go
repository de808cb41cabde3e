package h1

import (
	"bytes"

	"sluice/internal/header"
)

// Bounds of what surrounds the data of chunks.
const (
	maxChunkLine = 256      // bytes of a size with its extensions
	maxOverhead  = 16 << 10 // bytes of extensions and white space that a body may waste beyond its data
	maxTrailer   = 8 << 10  // bytes of the trailer section
	maxTrailers  = 64
)

// A Body finds the data and the end of a body. The zero value is a body without bytes.
type Body struct {
	left    int64 // bytes of data to come; with chunks: of this chunk
	state   bodyState
	waste   int           // bytes of extensions so far
	Trailer header.Fields // after the end of a body in chunks; belongs to the Body
}

type bodyState uint8

const (
	counted    bodyState = iota // left bytes, then the end
	untilEnd                    // all that comes
	chunkStart                  // a size line comes
	chunkData                   // left bytes, then CRLF
	chunkEnd                    // CRLF comes
	trailer                     // the trailer section comes
	ended
)

// Start makes b the body of a message whose [Head.Length] is length. It keeps the memory
// of the trailer.
func (b *Body) Start(length int64) {
	*b = Body{Trailer: b.Trailer[:0]}
	switch length {
	case Chunks:
		b.state = chunkStart
	case UntilEnd:
		b.state = untilEnd
	default:
		b.left = length
	}
}

// Done reports whether the body has ended. One that lasts until the connection ends never
// has.
func (b *Body) Done() bool { return b.state == ended || b.state == counted && b.left == 0 }

// Complete reports whether the body is whole if its connection ends now.
func (b *Body) Complete() bool { return b.Done() || b.state == untilEnd }

// Counted returns how many bytes of data are to come, if the head has told: nothing else comes
// before they have. Otherwise it is 0.
func (b *Body) Counted() int64 {
	if b.state != counted {
		return 0
	}
	return b.left
}

// Pass notes that n bytes of [Body.Counted] have come.
func (b *Body) Pass(n int64) {
	if b.left -= n; b.left == 0 {
		b.state = ended
	}
}

// Next returns the next data of the body in in, a part of in, and how many bytes of in it
// has used. If it used none, it needs more bytes after the same ones. The caller calls it
// until the body is [Body.Done] or in is used up. The error is a *Refusal.
func (b *Body) Next(in []byte) (data []byte, used int, refusal *Refusal) {
	for {
		rest := in[used:]
		switch b.state {
		case counted, chunkData:
			n := int(min(b.left, int64(len(rest))))
			switch b.left -= int64(n); {
			case b.left > 0:
			case b.state == counted:
				b.state = ended
			default:
				b.state = chunkEnd
			}
			return rest[:n], used + n, nil
		case untilEnd:
			return rest, len(in), nil
		case chunkStart:
			n, refusal := b.size(rest)
			if n == 0 {
				return nil, used, refusal
			}
			used += n
		case chunkEnd:
			switch {
			case len(rest) > 0 && rest[0] != '\r', len(rest) > 1 && rest[1] != '\n':
				return nil, used, errChunk
			case len(rest) < 2:
				return nil, used, nil
			}
			used += 2
			b.state = chunkStart
		case trailer:
			n, refusal := b.trailers(rest)
			return nil, used + n, refusal
		case ended:
			return nil, used, nil
		}
	}
}

// size reads the size line of a chunk at the beginning of in, and returns its length, or 0
// if it has not come. Extensions are checked and ignored (RFC 9112, section 7.1.1).
func (b *Body) size(in []byte) (int, *Refusal) {
	end := bytes.IndexByte(in[:min(len(in), maxChunkLine)], '\n')
	if end < 0 {
		if len(in) >= maxChunkLine {
			return 0, errChunkLine
		}
		return 0, nil
	}
	if end < 2 || in[end-1] != '\r' {
		return 0, errChunk
	}
	text := in[:end-1]
	var size int64
	digits := 0
	for ; digits < len(text); digits++ {
		d, ok := hex(text[digits])
		if !ok {
			break
		}
		if size = size<<4 | d; digits >= 15 {
			return 0, errChunk
		}
	}
	extension := text[digits:]
	if digits == 0 || !validExtension(extension) {
		return 0, errChunk
	}
	if b.waste += len(extension) + max(digits-8, 0); b.waste > maxOverhead {
		return 0, errChunkLine
	}
	if b.left, b.state = size, chunkData; size == 0 {
		b.state = trailer
	}
	return end + 1, nil
}

func hex(c byte) (int64, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int64(c - '0'), true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10, true
	}
	return 0, false
}

// validExtension reports whether text is empty or begins, after white space, with a
// semicolon, and has no control characters.
func validExtension(text []byte) bool {
	rest := bytes.TrimLeft(text, " \t")
	if len(rest) == 0 {
		return len(text) == 0
	}
	if rest[0] != ';' {
		return false
	}
	for _, c := range rest {
		if classes[c]&inValue == 0 {
			return false
		}
	}
	return true
}

// trailers reads the trailer section at the beginning of in, and returns its length, or 0
// if it has not come.
func (b *Body) trailers(in []byte) (int, *Refusal) {
	end := 0
	switch {
	case bytes.HasPrefix(in, []byte("\r\n")):
		end = 2
	default:
		end = EndOfHead(in[:min(len(in), maxTrailer)], 0)
	}
	if end == 0 {
		if len(in) >= maxTrailer {
			return 0, errTrailer
		}
		return 0, nil
	}
	var refusal *Refusal
	if b.Trailer, refusal = parseFields(b.Trailer, string(in[:end]), maxTrailers); refusal != nil {
		return 0, errTrailer
	}
	b.state = ended
	return end, nil
}
