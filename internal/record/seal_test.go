package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"testing"
)

// openAll opens all records in b.
func openAll(t testing.TB, e *end, b []byte) (plain []byte, kinds []Kind) {
	t.Helper()
	for len(b) > 0 {
		r, err := e.open(b)
		if err != nil || r.Used == 0 {
			t.Fatalf("Open of %d bytes = %+v, %v", len(b), r, err)
		}
		plain = append(plain, r.Data...)
		kinds = append(kinds, r.Kind)
		b = b[r.Used:]
	}
	return plain, kinds
}

func TestSealSplitsAndFits(t *testing.T) {
	eachSuite(t, func(t *testing.T, client, server *end) {
		for _, n := range []int{0, 1, 100, maxPlain - 1, maxPlain, maxPlain + 1, 3*maxPlain + 7} {
			plain := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, n/7+1)[:n]
			for _, prefix := range []string{"", "before"} {
				sealed, err := client.Seal(&client.Ciphers, []byte(prefix), plain)
				if err != nil || !bytes.HasPrefix(sealed, []byte(prefix)) {
					t.Fatalf("Seal(%d bytes) lost what was before it, %v", n, err)
				}
				sealed = sealed[len(prefix):]
				if len(sealed) > sealedSize(n) {
					t.Errorf("Seal(%d bytes) appended %d; SealedSize says %d", n, len(sealed), sealedSize(n))
				}
				got, kinds := openAll(t, server, sealed)
				if want := (n + maxPlain - 1) / maxPlain; !bytes.Equal(got, plain) || len(kinds) != want {
					t.Errorf("Seal(%d bytes) came out as %d in %d records; want %d records", n, len(got), len(kinds), want)
				}
			}
		}
	})
}

func TestNothingFollowsAnAlert(t *testing.T) {
	const internalError Alert = 80 // RFC 8446, section 6.2
	eachSuite(t, func(t *testing.T, client, server *end) {
		end := client.Alert(&client.Ciphers, []byte("x"), CloseNotify)
		if r, err := server.open(end[1:]); err != nil || r.Kind != Closed {
			t.Errorf("Open = %+v, %v; want Closed", r, err)
		}
		if again := client.Alert(&client.Ciphers, nil, internalError); again != nil {
			t.Errorf("a second Alert appended %d bytes", len(again))
		}
		if b, err := client.Seal(&client.Ciphers, nil, []byte("more")); !errors.Is(err, errClosed) || b != nil {
			t.Errorf("Seal after an Alert = %d bytes, %v; want errClosed", len(b), err)
		}
		if r, err := server.open([]byte("whatever follows")); err != nil || r.Kind != Closed || r.Used != 16 {
			t.Errorf("Open after the end = %+v, %v; want Closed and all used", r, err)
		}
	})
}

// In TLS 1.3 both ends follow every change of keys, which comes before the limit. TLS 1.2 has no
// changes of keys, and must end before nonces repeat.
func TestKeysChangeBeforeTheirLimit(t *testing.T) {
	eachSuite(t, func(t *testing.T, client, server *end) {
		before := client.State.out.key
		client.State.out.sequence, server.State.in.sequence = maxRecords-1, maxRecords-1
		for range 3 {
			sealed := client.seal(t, []byte("text"))
			if len(sealed) > sealedSize(4) {
				t.Errorf("Seal appended %d bytes; SealedSize says %d", len(sealed), sealedSize(4))
			}
			if got, _ := openAll(t, server, sealed); string(got) != "text" {
				t.Errorf("read %q", got)
			}
		}
		want := uint64(maxRecords + 2)
		if client.Version == tls.VersionTLS13 {
			want = 2
		}
		if got := client.State.out; got.sequence != want || (got.key != before) != (client.Version == tls.VersionTLS13) {
			t.Errorf("sequence %d, key changed: %v; want %d", got.sequence, got.key != before, want)
		}
	})
}

func TestSequenceNeverWraps(t *testing.T) {
	eachSuite(t, func(t *testing.T, client, server *end) {
		record := client.seal(t, []byte("x"))
		server.State.in.sequence = maxSequence
		if _, err := server.open(record); !errors.Is(err, errSequence) {
			t.Errorf("Open at the last sequence number = %v; want errSequence", err)
		}
		client.State.out.sequence = maxSequence
		if b, err := client.Seal(&client.Ciphers, nil, []byte("x")); !errors.Is(err, errSequence) || len(b) > 0 {
			t.Errorf("Seal at the last sequence number = %d bytes, %v; want errSequence", len(b), err)
		}
	})
}

// A peer that asks many times while nothing is sent gets one answer (RFC 8446,
// section 4.6.3).
func TestKeyUpdateIsAnsweredBeforeTheNextData(t *testing.T) {
	tests := []struct {
		name   string
		asks   []byte
		answer bool
	}{
		{"one that asks", []byte{1}, true},
		{"several that ask", []byte{1, 1, 1}, true},
		{"one that does not ask", []byte{0}, false},
		{"one that asks, and one that does not", []byte{1, 0}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, id := range suites[:3] {
				client, server := ends(t, id)
				for _, ask := range tt.asks {
					if r, err := server.open(sender{client, t}.rekey(ask)); err != nil || r.Kind != Nothing {
						t.Fatalf("Open of a key update = %+v, %v", r, err)
					}
				}
				before := server.State.out.secret
				want := []Kind{Data, Data}
				if tt.answer {
					want = []Kind{Nothing, Data, Data}
				}
				first, second := server.seal(t, []byte("one")), server.seal(t, []byte("two"))
				if changed := server.State.out.secret != before; changed != tt.answer {
					t.Errorf("the keys changed: %v; want %v", changed, tt.answer)
				}
				if got, kinds := openAll(t, client, append(first, second...)); string(got) != "onetwo" || !slices.Equal(kinds, want) {
					t.Errorf("the asking end read %q in %v; want %v", got, kinds, want)
				}
				if got, _ := openAll(t, server, client.seal(t, []byte("and back"))); string(got) != "and back" {
					t.Errorf("the answering end read %q", got)
				}
			}
		})
	}
}

// The ciphers can be dropped at any moment.
func TestHotCanBeDropped(t *testing.T) {
	eachSuite(t, func(t *testing.T, client, server *end) {
		for range 3 {
			got, _ := openAll(t, server, client.seal(t, []byte("text")))
			if string(got) != "text" {
				t.Errorf("read %q", got)
			}
			client.Ciphers, server.Ciphers = Ciphers{}, Ciphers{}
		}
	})
}

func TestRecordsAllocateNothing(t *testing.T) {
	eachSuite(t, func(t *testing.T, client, server *end) {
		plain := make([]byte, 40000)
		buf := make([]byte, 0, sealedSize(len(plain)))
		allocs := testing.AllocsPerRun(100, func() {
			sealed, err := client.Seal(&client.Ciphers, buf, plain)
			if err != nil {
				t.Fatal(err)
			}
			for len(sealed) > 0 {
				r, err := server.Open(&server.Ciphers, sealed, 0)
				if err != nil || r.Kind != Data {
					t.Fatal(r, err)
				}
				sealed = sealed[r.Used:]
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations for three records sealed and opened; want none", allocs)
		}
	})
}
