package answer

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRespond(t *testing.T) {
	text := "text/plain; charset=utf-8"
	tests := []struct {
		name, method string
		answer       Respond
		body, kind   string
		length       string
	}{
		{name: "body", method: "GET", answer: Respond{200, "hello", text}, body: "hello", kind: text, length: "5"},
		{name: "any method", method: "POST", answer: Respond{503, "closed", text}, body: "closed", kind: text, length: "6"},
		{name: "HEAD", method: "HEAD", answer: Respond{200, "hello", text}, kind: text, length: "5"},
		{name: "empty", method: "GET", answer: Respond{404, "", text}, kind: text, length: "0"},
		{name: "204", method: "GET", answer: Respond{204, "hello", text}},
		{name: "205", method: "GET", answer: Respond{205, "hello", text}, length: "0"},
		{name: "304", method: "GET", answer: Respond{304, "hello", text}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tt.answer.Serve(w, asMessage(r)) }))
			defer server.Close()
			response, body := request(t, server, tt.method, "/", nil)
			h := response.Header
			if response.StatusCode != tt.answer.Status || body != tt.body || h.Get("Content-Type") != tt.kind || h.Get("Content-Length") != tt.length {
				t.Errorf("got %d %q %v; want %d %q %q, length %q", response.StatusCode, body, h, tt.answer.Status, tt.body, tt.kind, tt.length)
			}
		})
	}
}

// request sends a request to server, follows no redirect and reads the whole answer.
func request(t testing.TB, server *httptest.Server, method, target string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, server.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := server.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}
