// Package compress compresses the answers of any handler as they pass, for the
// clients that accept it. It decides from the headers of request and answer
// alone and knows neither routes nor backends.
//
// # Validators
//
// A compressed answer is another representation than the one the handler has,
// so a strong ETag is sent as the weak one of the same text (RFC 9110, section
// 8.8.3). A client that validates it sends that weak tag back, and the handler
// sees it as it is: If-None-Match compares weakly (section 13.1.2), so a
// conforming handler finds its own strong tag in it and answers 304. On that
// 304 the tag is weakened too, or a cache would not know which of its answers
// it confirms (RFC 9111, section 4.3.4). If-Match and If-Range compare
// strongly and fail, as they must: the bytes are not the handler's.
//
// # Secrets
//
// The length of a compressed answer tells how much its parts have in common.
// Where a page repeats something of the request and also holds a secret, as a
// token against forged requests, somebody who can make a browser send requests
// and see the lengths of the answers guesses the secret piece by piece, through
// TLS too (BREACH). Compress no such pages, or mask their secrets anew in each.
package compress

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Options say what is compressed, and how.
type Options struct {
	// Encodings are the codings to offer, "zstd" and "gzip". Of those that a
	// client likes equally it gets the first.
	Encodings []string

	// Types are media types such as "application/json". A '*' stands for
	// anything: "text/*", "*+json". Events (text/event-stream) and answers
	// without a type are never compressed.
	Types []string

	// MinSize is the least length in bytes that is compressed, at most
	// [MaxMinSize]. That much is held back of an answer whose length is not
	// known; one that is flushed earlier is a stream and is not compressed.
	MinSize int64
}

// MaxMinSize is the most that Options.MinSize may be: as much memory may be
// held for each answer under way.
const MaxMinSize = 1 << 20

// maxEncoders bounds the answers of one Compressor that are compressed at the
// same time, or clients that read slowly could make it hold any amount of
// memory: an encoder is about 1 MiB. Answers beyond are sent as they are.
const maxEncoders = 256

// A Compressor compresses answers. Requests may share it.
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

// Wrap returns the ResponseWriter for a handler that answers r on w. What the
// handler sets in the headers after its WriteHeader can only be trailers, as
// always. Interim answers (1xx) pass at once. [http.ResponseController] works
// on the result, and files reach w by its ReadFrom when they are not compressed.
//
// Finish ends the answer and must be called once when the handler is through,
// trailers set. It must not be called when the handler panicked: then the answer
// stays cut, and the client can tell. An error means that it is cut although
// the handler was content; panic with [http.ErrAbortHandler].
func (c *Compressor) Wrap(w http.ResponseWriter, r *http.Request) (wrapped http.ResponseWriter, finish func() error) {
	x := &writer{ResponseWriter: w, c: c, r: r, coding: c.choose(r.Header["Accept-Encoding"])}
	return x, x.finish
}

// A pattern matches media types in lower case.
type pattern struct {
	before, after string // of the '*'
	exact         bool   // there is no '*'
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
