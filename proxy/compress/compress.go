// Package compress compresses the answers of a handler as they pass, for clients
// that accept it. It decides by the headers of the request and of the answer, and
// knows neither routes nor backends.
//
// # Validators
//
// A compressed answer is another representation than the one the handler has,
// so a strong ETag becomes the weak one of the same text (RFC 9110, section
// 8.8.3). A client that validates the answer sends that weak tag back, and the
// handler gets it unchanged: If-None-Match compares weakly (section 13.1.2), so
// a conforming handler recognizes its own strong tag and answers 304. The tag of
// that 304 is made weak too; otherwise a cache could not tell which of its
// answers the 304 confirms (RFC 9111, section 4.3.4). If-Match and If-Range
// compare strongly and fail, as they must: the bytes are not the handler's.
//
// # Secrets
//
// The length of a compressed answer shows how much its parts have in common. Some
// pages repeat a part of the request and also hold a secret, such as a token
// against forged requests. An attacker who can make a browser send requests, and
// can see the lengths of the answers, guesses such a secret piece by piece, also
// through TLS (BREACH). Do not compress such pages, or mask their secrets
// differently in each answer.
package compress

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sluice/internal/header"
	"sluice/internal/message"
)

// Options say what is compressed, and how.
type Options struct {
	// Encodings are the codings to use, "zstd" and "gzip". When a client accepts
	// several with the same weight, it gets the first of them.
	Encodings []string

	// Types are the media types to compress, such as "application/json". A '*'
	// stands for any text: "text/*", "*+json". Events (text/event-stream) and
	// answers without a type are never compressed.
	Types []string

	// MinSize is the shortest length, in bytes, that is compressed; at most
	// [MaxMinSize]. Of an answer whose length is not known, fewer bytes than that
	// are held back until the length is clear. An answer that is flushed while
	// it is held back is a stream, and is not compressed.
	MinSize int64
}

// MaxMinSize is the most that Options.MinSize may be. An answer may hold that
// much memory while it is decided.
const MaxMinSize = 1 << 20

// maxEncoders is how many answers a Compressor compresses at the same time; the
// others are sent as they are. An encoder takes about 1 MiB, so without the
// bound clients that read slowly could make it hold any amount of memory.
const maxEncoders = 256

// A Compressor compresses answers. It is safe for concurrent use.
type Compressor struct {
	codings []*coding
	types   []pattern
	minSize int
	live    *atomic.Int64 // encoders that exist
	held    sync.Pool     // of *held
	chunks  sync.Pool     // of *[chunkSize]byte
}

// New returns a compressor.
func New(o Options) (*Compressor, error) {
	c := &Compressor{minSize: int(max(o.MinSize, 1)), live: new(atomic.Int64)}
	if o.MinSize < 0 || o.MinSize > MaxMinSize {
		return nil, fmt.Errorf("compression: minimum size %d is not between 0 and %d", o.MinSize, MaxMinSize)
	}
	if len(o.Encodings) == 0 || len(o.Types) == 0 {
		return nil, errors.New("compression: it needs encodings and types")
	}
	for i, name := range o.Encodings {
		if name != "zstd" && name != "gzip" {
			return nil, fmt.Errorf("compression: encoding %q is neither zstd nor gzip", name)
		}
		if slices.Contains(o.Encodings[:i], name) {
			return nil, fmt.Errorf("compression: encoding %q is listed twice", name)
		}
		c.codings = append(c.codings, &coding{name: name, live: c.live})
	}
	for _, text := range o.Types {
		p, err := parsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("compression: %w", err)
		}
		c.types = append(c.types, p)
	}
	c.held.New = func() any {
		return &held{body: make([]byte, 0, c.minSize), header: http.Header{}, late: http.Header{}}
	}
	c.chunks.New = func() any { return new([chunkSize]byte) }
	return c, nil
}

// Wrap returns the ResponseWriter for a handler that answers r on w. Header
// fields that the handler sets after WriteHeader can only be trailers, as with
// any ResponseWriter. Interim answers (1xx) pass at once.
// [http.ResponseController] works on the result, and an answer that is not
// compressed reaches w through its ReadFrom.
//
// Finish ends the answer. The caller must call it once, after the handler has
// returned and set its trailers. The caller must not call it when the handler
// has panicked: the answer then stays cut, and the client can tell. An error
// means that the answer is cut although the handler has returned normally: the
// caller must panic with [http.ErrAbortHandler].
func (c *Compressor) Wrap(w http.ResponseWriter, r *message.Request) (wrapped http.ResponseWriter, finish func() error) {
	x := &writer{ResponseWriter: w, c: c, r: r, coding: c.choose(slices.Collect(r.Header.Values(header.AcceptEncoding)))}
	return x, x.finish
}

// A pattern matches media types in lower case.
type pattern struct {
	before, after string // what stands before and after the '*'
	exact         bool   // there is no '*': before is the whole type
}

func parsePattern(text string) (pattern, error) {
	before, after, star := strings.Cut(strings.ToLower(text), "*")
	switch {
	case strings.ContainsAny(text, " \t;,") || strings.Contains(after, "*"):
		return pattern{}, fmt.Errorf("type %q is not a media type with at most one '*' and no parameters", text)
	case !star && !strings.Contains(strings.Trim(text, "/"), "/"):
		return pattern{}, fmt.Errorf("type %q is not a media type such as text/html, nor has it a '*'", text)
	}
	return pattern{before: before, after: after, exact: !star}, nil
}

func (p pattern) match(media string) bool {
	if p.exact {
		return media == p.before
	}
	return len(media) >= len(p.before)+len(p.after) && strings.HasPrefix(media, p.before) && strings.HasSuffix(media, p.after)
}
