package admin

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/outline"
)

func TestOutlook(t *testing.T) {
	path := newSocketServer(t, newFakeGateway())
	var r outline.Report
	o := outline.Outline{Routes: map[string][]string{"chat": {"app"}}, Backends: map[string]map[string]bool{"app": {"127.0.0.1:9000": false}}}
	status, err := newUnixClient(path).Send(context.Background(), "POST", "/outlook", nil, &o, &r)
	if want := "kept 1 session; ending 1: route feed removed"; err != nil || status != http.StatusOK || r.Text != want || r.Kept != 1 || r.Ended != 1 {
		t.Errorf("POST /outlook = %d, %+v, %v; want 200, %q", status, r, err, want)
	}
	tests := []struct{ name, body, want string }{
		{"no body", "", "the body is not the JSON"},
		{"no JSON", "routes: {}", "the body is not the JSON"},
		{"an unknown key", `{"route":{}}`, "route"},
		{"another type", `{"routes":["a"]}`, "the body is not the JSON"},
		{"too much", `{"routes":{"` + strings.Repeat("a", mostBody) + `":[]}}`, "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := newUnixClient(path)
			res, err := client.http.Post(client.base+"/outlook", jsonType, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text := new(strings.Builder)
			if _, err := io.Copy(text, res.Body); err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(text.String(), tt.want) {
				t.Errorf("POST /outlook = %s, %v\n%s\nwant 400 and %q", res.Status, err, text, tt.want)
			}
		})
	}
}
