package integration

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers says which packages outside the standard library each package of the
// module may import. Imports only go down, and packages of one row never
// import each other.
var layers = map[string][]string{
	"cmd/sluice": {
		"sluice/cmd/sluice/demo", "sluice/config", "sluice/internal/telemetry", "sluice/proxy",
		"github.com/rs/zerolog", "github.com/spf13/cobra", "golang.org/x/net/http/httpguts",
	},
	"cmd/sluice/demo": {"github.com/gobwas/ws", "github.com/gobwas/ws/wsutil"},
	"proxy": {
		"sluice/config", "sluice/route", "sluice/tlsconf", "sluice/upgrade",
		"sluice/proxy/answer", "sluice/proxy/backend", "sluice/proxy/compress", "sluice/proxy/forward", "sluice/proxy/relay",
		"sluice/internal/fieldname", "sluice/internal/limit", "sluice/internal/telemetry", "sluice/internal/wire",
		"github.com/gobwas/ws", "github.com/pires/go-proxyproto", "github.com/rs/zerolog", "golang.org/x/net/http/httpguts",
	},

	"config":         {"sluice/internal/fieldname", "golang.org/x/net/idna", "gopkg.in/yaml.v3"},
	"route":          {},
	"tlsconf":        {"sluice/internal/pemfile", "golang.org/x/crypto/acme", "golang.org/x/crypto/acme/autocert"},
	"upgrade":        {"sluice/internal/fieldname", "sluice/internal/hop", "sluice/internal/wire", "github.com/gobwas/httphead", "golang.org/x/net/http/httpguts"},
	"proxy/answer":   {},
	"proxy/backend":  {"sluice/internal/limit", "sluice/internal/wire", "github.com/pires/go-proxyproto", "golang.org/x/net/dns/dnsmessage", "golang.org/x/net/http2"},
	"proxy/compress": {"github.com/klauspost/compress/gzip", "github.com/klauspost/compress/zstd", "golang.org/x/net/http/httpguts"},
	"proxy/forward":  {"sluice/internal/fieldname", "sluice/internal/hop", "golang.org/x/net/http/httpguts"},
	"proxy/relay":    {"sluice/internal/frame", "sluice/internal/limit", "sluice/internal/record", "sluice/internal/wire", "github.com/gobwas/ws", "golang.org/x/sys/unix"},

	"internal/telemetry":       {"sluice/internal/frame", "github.com/gobwas/ws", "github.com/rs/zerolog"},
	"internal/frame":           {"sluice/internal/limit", "github.com/gobwas/ws"},
	"internal/fieldname":       {},
	"internal/hop":             {},
	"internal/limit":           {"golang.org/x/sys/unix"},
	"internal/pemfile":         {},
	"internal/record":          {"sluice/internal/wire", "golang.org/x/crypto/chacha20poly1305"},
	"internal/wire":            {"golang.org/x/sys/unix"},
	"internal/wstest":          {"github.com/gobwas/ws", "golang.org/x/net/dns/dnsmessage"},
	"internal/wstest/xconnect": {},
	"integration":              {},
}

// inTests is what the tests of any package may import besides.
var inTests = []string{"sluice/internal/wstest", "sluice/internal/wstest/xconnect", "github.com/gobwas/ws", "github.com/gobwas/ws/wsutil", "golang.org/x/net/http2", "golang.org/x/net/http2/hpack"}

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "sluice/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	gone := maps.Clone(layers)
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "sluice/")
		may, ok := layers[name]
		if !ok {
			t.Errorf("%s has no layer; give it one in layers_test.go and in docs/architecture.md", p.ImportPath)
			continue
		}
		delete(gone, name)
		for _, i := range p.Imports {
			if !standard(i) && !slices.Contains(may, i) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if !standard(i) && i != p.ImportPath && !slices.Contains(may, i) && !slices.Contains(inTests, i) {
				t.Errorf("the tests of %s import %s", p.ImportPath, i)
			}
		}
	}
	for name := range gone {
		t.Errorf("there is no package %s any more; remove its layer", name)
	}
}

// standard tells a package of the standard library by its first path element,
// which is no domain.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != "sluice" && !strings.Contains(first, ".")
}
