package dial

import (
	"testing"
	"time"

	"sluice/internal/wstest"
)

// A host is reached over the one of its two addresses that works.
func TestDualStack(t *testing.T) {
	alive, dead := listen(t, "tcp", "127.0.0.1:0"), wstest.Reserve(t)
	tests := []struct {
		name, first, second string
		ok                  bool
	}{
		{"the first", alive, dead, true},
		{"the second", dead, alive, true},
		{"both", alive, alive, true},
		{"none", dead, dead, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, Spec{Network: "tcp", Address: tt.first, Fallback: tt.second, Timeout: wstest.Guard})
			d.fallbackDelay = time.Hour // if the first address fails, the second one must not wait for it
			c, err := d.Dial(t.Context(), nil)
			if (err == nil) != tt.ok || err == nil && c.RemoteAddr().String() != alive {
				t.Fatalf("Dial = %v, %v", c, err)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}
