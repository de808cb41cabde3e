package admin

import "testing"

// For one connection more than there may be, the oldest one goes that has nothing to do. Those with one of the last
// descriptors are counted by themselves.
func TestWhichConnectionGoesForANewOne(t *testing.T) {
	const idle, busy, last = 0, 1, 2
	tests := []struct {
		name  string
		conns []int // the newest at the end
		want  int   // index of the one that goes; -1 for none
	}{
		{"as many as may be", []int{idle, idle, idle, idle, idle, idle, idle}, -1},
		{"one more", []int{idle, idle, idle, idle, idle, idle, idle, idle}, 0},
		{"one more, the oldest ones busy", []int{busy, busy | last, idle, idle, idle, idle, idle, idle}, 2},
		{"one more, all busy", []int{busy, busy, busy, busy, busy, busy, busy, idle}, 7},
		{"as many with the last descriptors as may be", []int{last, last, last, idle, last}, -1},
		{"one more of them", []int{idle, last, last, last, last, last}, 1},
		{"one more of them, the oldest ones busy", []int{idle, last | busy, last | busy, last, last, last}, 3},
		{"one more of them, all busy", []int{idle, last | busy, last | busy, last | busy, last | busy, last}, 5},
		{"another one beside them", []int{last, last, last, last, idle}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &limited{most: 7, mostLast: 4}
			for i, kind := range tt.conns {
				c := &limitedConn{listener: l, last: kind&last != 0}
				c.requests.Store(int32(kind & busy))
				var want *limitedConn
				if i == len(tt.conns)-1 && tt.want >= 0 {
					want = append(l.conns, c)[tt.want]
				}
				if got := l.add(c); got != want {
					t.Fatalf("add of connection %d: %p; want %p of %v", i, got, want, l.conns)
				}
			}
		})
	}
}
