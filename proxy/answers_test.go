package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/wstest"
	"sluice/proxy/relay/relaytest"
)

// Answers of sizes around those at which the gateway reads them in another way, on one connection
// to the backend and one of the client. What the backend gives first does not wait for the rest.
func TestAnswersOfAllSizes(t *testing.T) {
	body := []byte(relaytest.RandomPayload(1 << 20))
	goOn := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("size"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		part := min(n, 1000)
		w.Write(body[:part])
		if r.URL.Query().Has("slow") {
			w.(http.Flusher).Flush()
			<-goOn
		}
		w.Write(body[part:n])
	}))
	t.Cleanup(s.Close)
	_, address := start(t, fmt.Sprintf("listeners: [{ address: 127.0.0.1:0 }]\nroutes: [{ backend: %q }]", s.Listener.Addr()))
	client := &http.Client{Transport: new(http.Transport), Timeout: wstest.Guard}
	t.Cleanup(client.CloseIdleConnections)
	sizes := []int{0, 1, 8 << 10, 32 << 10, 33 << 10, 48<<10 - 1, 48 << 10, 64 << 10, 64 << 10, 64 << 10, 100, 100,
		64 << 10, 128 << 10, 128 << 10, 256 << 10, 256 << 10, 256<<10 + 1, 64 << 10, 64 << 10, 1 << 20, 64 << 10}
	for _, slow := range []string{"", "&slow"} {
		for _, n := range sizes {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				if slow != "" && method == http.MethodHead {
					continue
				}
				r, err := http.NewRequest(method, fmt.Sprintf("http://%s/?size=%d%s", address, n, slow), nil)
				if err != nil {
					t.Fatal(err)
				}
				a, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				want := body[:n]
				if method == http.MethodHead {
					want = nil
				}
				got := make([]byte, min(len(want), 1000))
				if _, err := io.ReadFull(a.Body, got); err != nil {
					t.Fatal(err)
				}
				if slow != "" {
					goOn <- struct{}{}
				}
				rest, err := io.ReadAll(a.Body)
				if got = append(got, rest...); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s of %d bytes%s gave %d bytes, %v; want those", method, n, strings.ReplaceAll(slow, "&", ", "), len(got), err)
				}
				a.Body.Close()
			}
		}
	}
}
