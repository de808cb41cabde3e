//go:build linux

package loop

import (
	"bytes"
	"crypto/tls"
	"testing"

	"sluice/internal/record"
)

// States stay in their cells and work as before, whatever the cache has of them, and leave
// nothing behind.
func TestTLSStatesAreKeptAndWiped(t *testing.T) {
	const states = 2*cipherCacheSize + 10
	var s TLSStates
	var cells []int32
	for range states {
		state := record.State{Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256}
		cells = append(cells, s.Add(&state))
		if state != (record.State{}) {
			t.Fatal("the caller keeps a state that was added")
		}
	}
	for round := range 2 { // the second one begins with states whose ciphers the cache has lost
		want := sealAlone(t, round)
		for i, n := range cells {
			state, ciphers := s.At(n)
			got, err := state.Seal(ciphers, nil, []byte("the same bytes"))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("record %d of state %d is %x, %v; want %x", round, i, got, err, want)
			}
		}
	}
	if bytes, ciphers := s.Secrets(); bytes == 0 || ciphers != cipherCacheSize {
		t.Errorf("%d bytes and %d ciphers of open states; want some, and %d", bytes, ciphers, cipherCacheSize)
	}
	if s.Mapped() == 0 {
		t.Error("nothing is mapped")
	}
	for _, n := range cells {
		s.Remove(n)
	}
	if bytes, ciphers := s.Secrets(); bytes != 0 || ciphers != 0 {
		t.Errorf("%d bytes and %d ciphers are kept of nothing", bytes, ciphers)
	}
}

// sealAlone returns the record of a number that a state outside of cells seals.
func sealAlone(t *testing.T, number int) (b []byte) {
	t.Helper()
	state := record.State{Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256}
	var ciphers record.Ciphers
	for range number + 1 {
		var err error
		if b, err = state.Seal(&ciphers, nil, []byte("the same bytes")); err != nil {
			t.Fatal(err)
		}
	}
	return b
}
