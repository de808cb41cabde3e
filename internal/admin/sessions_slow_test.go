//go:build unix

package admin

import (
	"cmp"
	"encoding/json"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A slowReader takes each piece of an answer after a pause.
type slowReader struct {
	timedAnswer
	pause  time.Duration
	pieces int
}

func (a *slowReader) Write(b []byte) (int, error) {
	time.Sleep(min(a.pause, time.Until(a.until)+1))
	if time.Now().After(a.until) {
		return 0, os.ErrDeadlineExceeded
	}
	a.pieces++
	return a.timedAnswer.Write(b)
}

// A list has as much time as it has pieces, up to a bound.
func TestALongListIsReadToItsEnd(t *testing.T) {
	for name, order := range map[string]string{"as they come": "", "sorted": "&sort=opened"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newFakeGateway()
				for range 1000 {
					g.sessions = append(g.sessions, g.sessions[0])
				}
				s := &Server{gateway: g}
				read := func(pause time.Duration) (*slowReader, error) {
					a := &slowReader{timedAnswer: timedAnswer{ResponseRecorder: httptest.NewRecorder()}, pause: pause}
					q, err := parseQuery("limit=0"+order, []Parameter{{Name: "limit"}, {Name: "sort"}})
					if err != nil {
						t.Fatal(err)
					}
					_, err = s.sessions(&call{w: a, r: httptest.NewRequest("GET", "/sessions", nil), query: q})
					return a, err
				}
				a, err := read(writeTimeout - time.Second)
				var all []Session
				if err = cmp.Or(err, json.Unmarshal(a.Body.Bytes(), &all)); err != nil || len(all) != len(g.sessions) || a.pieces < 10 {
					t.Errorf("%d sessions in %d pieces, %v; want %d", len(all), a.pieces, err, len(g.sessions))
				}
				if a, _ := read(writeTimeout + time.Second); a.pieces != 0 {
					t.Errorf("who takes nothing has read %d pieces", a.pieces)
				}
				for len(g.sessions) < 20_000 {
					g.sessions = append(g.sessions, g.sessions...)
				}
				began := time.Now()
				if read(writeTimeout - time.Second); time.Since(began) > listTimeout+time.Second {
					t.Errorf("a list is read for %v; want %v at most", time.Since(began), listTimeout)
				}
			})
		})
	}
}
