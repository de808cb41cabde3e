package integration

import (
	"errors"
	"go/build"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers says which packages outside the standard library each package of the
// module may import. Imports only go down. Packages of one row of the picture in
// docs/architecture.md never import each other, except for a few in internal. A
// permission that is not used is removed.
var layers = map[string][]string{
	"cmd/sluice": {
		"sluice/cmd/sluice/demo", "sluice/cmd/sluice/files", "sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/caddy", "sluice/cmd/sluice/importer/haproxy", "sluice/cmd/sluice/importer/nginx", "sluice/cmd/sluice/importer/traefik", "sluice/cmd/sluice/process", "sluice/cmd/sluice/remote", "sluice/cmd/sluice/remote/show", "sluice/config", "sluice/internal/admin", "sluice/internal/atomicfile", "sluice/internal/glob", "sluice/internal/httpsyntax",
		"sluice/proxy", "sluice/proxy/explain",
		"github.com/spf13/cobra",
	},
	"cmd/sluice/process": {
		"sluice/cmd/sluice/history", "sluice/cmd/sluice/succession", "sluice/cmd/sluice/watch", "sluice/config", "sluice/internal/activation", "sluice/internal/admin", "sluice/internal/codec", "sluice/internal/notify", "sluice/internal/takeover", "sluice/internal/telemetry", "sluice/internal/telemetry/metrics",
		"sluice/proxy", "sluice/proxy/handover", "sluice/proxy/operate", "sluice/tlsconf/certfile",
		"github.com/rs/zerolog",
	},
	"cmd/sluice/files":               {"sluice/config", "sluice/internal/atomicfile", "sluice/internal/httpsyntax", "github.com/spf13/cobra", "golang.org/x/term"},
	"cmd/sluice/succession":          {"sluice/internal/activation", "sluice/internal/clock", "sluice/internal/codec", "sluice/internal/takeover", "golang.org/x/sys/unix"},
	"cmd/sluice/history":             {"sluice/internal/admin", "sluice/internal/telemetry/metrics"},
	"cmd/sluice/watch":               {"sluice/internal/glob", "github.com/fsnotify/fsnotify"},
	"cmd/sluice/importer":            {"sluice/cmd/sluice/importer/mapping", "sluice/config", "sluice/route"},
	"cmd/sluice/importer/expression": {"sluice/cmd/sluice/importer"},
	"cmd/sluice/importer/haproxy": {
		"sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/expression", "sluice/cmd/sluice/importer/haproxy/section", "sluice/cmd/sluice/importer/mapping", "sluice/cmd/sluice/importer/match",
	},
	"cmd/sluice/importer/haproxy/section": {"sluice/cmd/sluice/importer"},
	"cmd/sluice/importer/nginx": {
		"sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/expression", "sluice/cmd/sluice/importer/mapping", "sluice/cmd/sluice/importer/nginx/syntax", "sluice/cmd/sluice/importer/nginx/vocabulary",
	},
	"cmd/sluice/importer/nginx/syntax":     {"sluice/cmd/sluice/importer"},
	"cmd/sluice/importer/nginx/vocabulary": {"sluice/cmd/sluice/importer/mapping"},
	"cmd/sluice/importer/match":            {"sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/expression", "sluice/cmd/sluice/importer/mapping"},
	"cmd/sluice/importer/caddy": {
		"sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/caddy/caddyfile", "sluice/cmd/sluice/importer/caddy/handle", "sluice/cmd/sluice/importer/mapping",
	},
	"cmd/sluice/importer/caddy/caddyfile": {"sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/mapping"},
	"cmd/sluice/importer/caddy/handle":    {"sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/caddy/caddyfile", "sluice/cmd/sluice/importer/expression", "sluice/cmd/sluice/importer/mapping", "sluice/cmd/sluice/importer/match"},
	"cmd/sluice/importer/traefik":         {"sluice/cmd/sluice/importer", "sluice/cmd/sluice/importer/expression", "sluice/cmd/sluice/importer/mapping", "sluice/cmd/sluice/importer/match", "sluice/cmd/sluice/importer/traefik/document"},
	"cmd/sluice/importer/traefik/document": {
		"sluice/cmd/sluice/importer", "github.com/pelletier/go-toml/v2/unstable", "gopkg.in/yaml.v3",
	},
	"cmd/sluice/importer/mapping":      {},
	"cmd/sluice/importer/importertest": {"sluice/cmd/sluice/importer", "sluice/config", "sluice/internal/header", "sluice/route"},
	"cmd/sluice/remote":                {"sluice/cmd/sluice/remote/show", "sluice/cmd/sluice/remote/top", "sluice/internal/admin", "sluice/internal/outline", "github.com/spf13/cobra", "github.com/spf13/pflag"},
	"cmd/sluice/remote/show":           {"sluice/internal/admin", "github.com/rivo/uniseg"},
	"cmd/sluice/remote/top":            {"sluice/cmd/sluice/remote/show", "sluice/cmd/sluice/remote/top/terminal", "sluice/internal/admin", "github.com/gdamore/tcell/v2", "golang.org/x/term"},
	"cmd/sluice/remote/top/terminal":   {"github.com/gdamore/tcell/v2", "golang.org/x/sys/unix", "golang.org/x/term"},
	"cmd/sluice/demo":                  {"github.com/gobwas/ws", "github.com/gobwas/ws/wsutil"},
	"packaging/release":                nil,
	"proxy/drain":                      {},
	"proxy/handover":                   {"sluice/proxy/listen", "sluice/proxy/serve", "sluice/internal/clock", "sluice/internal/codec", "sluice/internal/takeover", "golang.org/x/sys/unix"},
	"proxy": {
		"sluice/proxy/drain", "sluice/proxy/handover", "sluice/config", "sluice/route", "sluice/tlsconf",
		"sluice/proxy/http1", "sluice/proxy/listen", "sluice/proxy/operate", "sluice/proxy/serve", "sluice/proxy/translate", "sluice/internal/activation", "sluice/internal/admin", "sluice/internal/telemetry/metrics",
		"sluice/proxy/backend", "sluice/proxy/compress", "sluice/proxy/relay",
		"sluice/internal/cookie", "sluice/internal/limit", "sluice/internal/loop", "sluice/internal/outline", "sluice/internal/telemetry", "sluice/internal/tracing", "github.com/rs/zerolog", "sluice/internal/clock", "sluice/internal/codec", "sluice/internal/takeover", "sluice/proxy/clientio",
	},
	"proxy/explain": {"sluice/config", "sluice/route", "sluice/upgrade", "sluice/proxy/serve", "sluice/proxy/translate", "sluice/internal/header", "sluice/internal/message", "sluice/internal/outline"},
	"proxy/operate": {
		"sluice/proxy/backend", "sluice/proxy/relay", "sluice/proxy/serve", "sluice/internal/admin", "sluice/internal/frame", "sluice/internal/limit", "sluice/internal/outline", "sluice/internal/telemetry",
		"github.com/gobwas/ws", "github.com/prometheus/client_golang/prometheus", "sluice/internal/codec",
	},
	"proxy/translate": {
		"sluice/config", "sluice/route", "sluice/tlsconf", "sluice/tlsconf/certfile", "sluice/upgrade",
		"sluice/proxy/listen", "sluice/proxy/serve", "sluice/proxy/headers", "sluice/proxy/probe",
		"sluice/proxy/answer", "sluice/proxy/backend", "sluice/proxy/backend/dial", "sluice/proxy/compress", "sluice/proxy/forward", "sluice/proxy/relay",
		"sluice/internal/header", "sluice/internal/limit", "sluice/internal/outline", "sluice/internal/tracing", "github.com/gobwas/ws",
	},
	"proxy/serve": {
		"sluice/route", "sluice/tlsconf", "sluice/upgrade",
		"sluice/proxy/listen", "sluice/proxy/clientio", "sluice/proxy/headers", "sluice/proxy/http1",
		"sluice/proxy/answer", "sluice/proxy/backend", "sluice/proxy/backend/dial", "sluice/proxy/compress", "sluice/proxy/forward", "sluice/proxy/relay",
		"sluice/internal/cookie", "sluice/internal/fieldname", "sluice/internal/h1", "sluice/internal/header", "sluice/internal/httpsyntax", "sluice/internal/limit", "sluice/internal/message", "sluice/internal/outline",
		"sluice/internal/telemetry", "sluice/internal/telemetry/metrics", "sluice/internal/tracing", "sluice/internal/wire",
		"github.com/gobwas/ws", "github.com/rs/zerolog", "sluice/internal/codec", "sluice/internal/clock"},
	"proxy/listen": {
		"sluice/proxy/clientio", "sluice/proxy/http1", "sluice/internal/activation", "sluice/internal/h1", "sluice/internal/limit", "sluice/internal/message", "sluice/internal/record", "sluice/internal/telemetry", "sluice/internal/wire",
		"github.com/pires/go-proxyproto", "github.com/rs/zerolog", "golang.org/x/sys/unix", "sluice/internal/codec",
	},
	"proxy/http1": {
		"sluice/proxy/backend/dial", "sluice/proxy/clientio", "sluice/internal/h1", "sluice/internal/header", "sluice/internal/httpsyntax", "sluice/internal/loop", "sluice/internal/message",
		"sluice/internal/record", "sluice/internal/wire", "golang.org/x/sys/unix", "sluice/internal/codec",
	},
	"proxy/probe": {"sluice/upgrade", "sluice/proxy/backend", "sluice/internal/header", "github.com/gobwas/ws"},

	"proxy/clientio": {"sluice/internal/header", "sluice/internal/limit", "sluice/internal/message", "sluice/internal/wire"},
	"proxy/headers":  {"sluice/internal/fieldname", "sluice/internal/header", "sluice/internal/httpsyntax"},
	"tlsconf":        {"sluice/internal/httpsyntax", "sluice/tlsconf/acme", "sluice/tlsconf/certfile", "sluice/tlsconf/localca", "sluice/internal/atomicfile"},
	"upgrade":        {"sluice/internal/fieldname", "sluice/internal/header", "sluice/internal/hop", "sluice/internal/httpsyntax", "sluice/internal/message", "sluice/internal/wire"},
	"proxy/backend":  {"sluice/internal/codec", "sluice/internal/limit", "sluice/internal/telemetry/metrics", "sluice/proxy/backend/balance", "sluice/proxy/backend/dial", "sluice/proxy/backend/dns"},
	"config": {
		"sluice/config/decode", "sluice/config/layout", "sluice/config/report", "sluice/config/schema", "sluice/config/spelling", "sluice/config/units",
		"sluice/internal/fieldname", "sluice/internal/glob", "sluice/internal/httpsyntax", "gopkg.in/yaml.v3",
	},
	"config/decode":   {"sluice/config/report", "sluice/config/schema", "gopkg.in/yaml.v3"},
	"config/layout":   {"sluice/config/decode", "sluice/config/report", "gopkg.in/yaml.v3"},
	"config/schema":   {"sluice/config/report", "sluice/config/units"},
	"config/spelling": {"sluice/config/report", "sluice/internal/httpsyntax", "golang.org/x/net/idna"},
	"config/report":   {"sluice/internal/httpsyntax"},
	"config/units":    {},

	"route":          {"sluice/internal/header", "sluice/internal/httpsyntax"},
	"proxy/answer":   {"sluice/internal/header", "sluice/internal/httpsyntax", "sluice/internal/message"},
	"proxy/compress": {"sluice/internal/header", "sluice/internal/message", "github.com/klauspost/compress/gzip", "github.com/klauspost/compress/zstd", "golang.org/x/net/http/httpguts"},
	"proxy/forward":  {"sluice/internal/fieldname", "sluice/internal/header", "sluice/internal/hop", "sluice/internal/httpsyntax", "sluice/internal/message"},

	"proxy/relay":           {"sluice/proxy/relay/core", "sluice/proxy/relay/epoll", "sluice/proxy/relay/portable", "sluice/internal/clock", "sluice/internal/frame", "sluice/internal/loop", "sluice/internal/wire", "sluice/internal/codec", "golang.org/x/sys/unix"},
	"proxy/relay/epoll":     {"sluice/proxy/relay/core", "sluice/internal/clock", "sluice/internal/frame", "sluice/internal/loop", "sluice/internal/record", "sluice/internal/spread", "sluice/internal/wire", "golang.org/x/sys/unix", "sluice/internal/codec"},
	"proxy/relay/portable":  {"sluice/proxy/relay/core", "sluice/internal/clock", "sluice/internal/frame", "sluice/internal/spread", "sluice/internal/wire"},
	"proxy/relay/core":      {"sluice/internal/clock", "sluice/internal/frame", "sluice/internal/limit", "sluice/internal/record", "sluice/internal/wire", "github.com/gobwas/ws", "sluice/internal/codec"},
	"proxy/relay/relaytest": {"sluice/proxy/relay/core", "sluice/proxy/relay/frametest", "sluice/internal/wire", "sluice/internal/wstest", "github.com/gobwas/ws"},
	"proxy/relay/frametest": {"sluice/internal/wstest", "github.com/gobwas/ws"},

	"proxy/backend/balance": {},
	"proxy/backend/dial":    {"sluice/internal/httpsyntax", "sluice/internal/limit", "sluice/internal/record", "sluice/internal/wire", "github.com/pires/go-proxyproto", "golang.org/x/net/http2"},
	"proxy/backend/dns":     {"sluice/internal/limit", "golang.org/x/net/dns/dnsmessage"},

	"internal/cookie":    {"sluice/internal/header", "sluice/internal/message"},
	"internal/telemetry": {"sluice/internal/frame", "sluice/internal/limit", "github.com/gobwas/ws", "github.com/rs/zerolog"},
	"tlsconf/acme":       {"sluice/tlsconf/certfile", "sluice/internal/atomicfile", "sluice/internal/pemfile", "golang.org/x/crypto/acme", "golang.org/x/crypto/acme/autocert"},
	"tlsconf/certfile":   {"sluice/internal/pemfile"},
	"tlsconf/localca":    {"sluice/tlsconf/certfile", "sluice/internal/atomicfile"},

	"internal/tracing": {
		"sluice/internal/header", "sluice/internal/telemetry", "github.com/rs/zerolog",
		"go.opentelemetry.io/proto/otlp/common/v1", "go.opentelemetry.io/proto/otlp/resource/v1", "go.opentelemetry.io/proto/otlp/trace/v1",
		"google.golang.org/protobuf/encoding/protowire", "google.golang.org/protobuf/proto",
	},
	"internal/tracing/tracingtest": {"go.opentelemetry.io/proto/otlp/common/v1", "go.opentelemetry.io/proto/otlp/trace/v1", "google.golang.org/protobuf/proto"},
	"internal/telemetry/metrics":   {"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/collectors", "github.com/prometheus/client_golang/prometheus/promhttp", "sluice/internal/codec", "github.com/prometheus/client_model/go", "google.golang.org/protobuf/proto"},

	"internal/activation":      {"golang.org/x/sys/unix"},
	"internal/admin":           {"sluice/internal/limit", "sluice/internal/outline", "golang.org/x/sys/unix"},
	"internal/atomicfile":      {},
	"internal/frame":           {"sluice/internal/codec", "sluice/internal/limit", "github.com/gobwas/ws"},
	"internal/fieldname":       {"sluice/internal/header"},
	"internal/glob":            {},
	"internal/spread":          {},
	"internal/h1":              {"sluice/internal/header"},
	"internal/header":          {"sluice/internal/httpsyntax"},
	"internal/hop":             {"sluice/internal/header"},
	"internal/httpsyntax":      {},
	"internal/clock":           {"golang.org/x/sys/unix"},
	"internal/codec":           {},
	"internal/takeover":        {"sluice/internal/codec", "golang.org/x/sys/unix"},
	"internal/limit":           {"golang.org/x/sys/unix", "sluice/internal/codec"},
	"internal/loop":            {"sluice/internal/clock", "sluice/internal/record", "sluice/internal/wire", "golang.org/x/sys/unix"},
	"internal/message":         {"sluice/internal/h1", "sluice/internal/header"},
	"internal/notify":          {"golang.org/x/sys/unix"},
	"internal/outline":         {},
	"internal/pemfile":         {},
	"internal/record":          {"sluice/internal/codec", "sluice/internal/wire", "golang.org/x/crypto/chacha20poly1305"},
	"internal/wire":            {"golang.org/x/sys/unix"},
	"internal/wstest":          {"github.com/gobwas/ws", "golang.org/x/net/dns/dnsmessage"},
	"internal/wstest/certtest": {},
	"internal/wstest/xconnect": {},
	"integration":              {"golang.org/x/sys/unix", "sluice/internal/admin"},
}

// inTests is what the tests of any package may import besides.
var inTests = []string{"sluice/cmd/sluice/importer/importertest", "sluice/internal/clock", "sluice/internal/tracing/tracingtest", "sluice/internal/wstest", "sluice/internal/wstest/certtest", "sluice/internal/wstest/xconnect", "sluice/proxy/relay/frametest", "sluice/proxy/relay/relaytest", "github.com/gobwas/ws", "github.com/gobwas/ws/wsutil", "golang.org/x/net/http/httpguts", "golang.org/x/net/http2", "golang.org/x/net/http2/hpack", "gopkg.in/yaml.v3", "github.com/santhosh-tekuri/jsonschema/v6"}

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	t.Parallel()
	gone := maps.Clone(layers)
	used := make(map[[2]string]bool) // package and what it or its tests import, on any system
	tested := make(map[string]bool)  // what tests import by inTests
	for _, system := range []string{"linux", "darwin", "windows"} {
		for name, p := range packages(t, system) {
			may, ok := layers[name]
			if !ok {
				t.Errorf("%s has no layer; give it one in layers_test.go and in docs/architecture.md", name)
				continue
			}
			delete(gone, name)
			for _, i := range p.Imports {
				used[[2]string{name, i}] = true
				if !standard(i) && !slices.Contains(may, i) {
					t.Errorf("%s imports %s on %s", name, i, system)
				}
			}
			for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
				used[[2]string{name, i}] = true
				tested[i] = tested[i] || !slices.Contains(may, i)
				if !standard(i) && i != "sluice/"+name && !slices.Contains(may, i) && !slices.Contains(inTests, i) {
					t.Errorf("the tests of %s import %s on %s", name, i, system)
				}
			}
		}
	}
	for name := range gone {
		t.Errorf("there is no package %s any more; remove its layer", name)
	}
	for name, may := range layers {
		for _, i := range may {
			if _, ok := gone[name]; !ok && !used[[2]string{name, i}] {
				t.Errorf("%s may import %s and does not; remove that from its layer", name, i)
			}
		}
	}
	for _, i := range inTests {
		if !tested[i] {
			t.Errorf("all tests may import %s and none does; remove it from inTests", i)
		}
	}
}

// packages reads those of the module from their files, by name without the
// module's: go list would want every module, from the network where it must.
func packages(t *testing.T, system string) map[string]*build.Package {
	t.Helper()
	context := build.Default
	context.GOOS = system
	found := make(map[string]*build.Package)
	err := filepath.WalkDir("..", func(dir string, e fs.DirEntry, err error) error {
		switch name := e.Name(); {
		case err != nil || !e.IsDir():
			return err
		case name == "testdata" || name == "node_modules" || name != ".." && strings.HasPrefix(name, "."):
			return filepath.SkipDir
		}
		p, err := context.ImportDir(dir, 0)
		if none := new(build.NoGoError); errors.As(err, &none) {
			return nil
		}
		found[filepath.ToSlash(strings.TrimPrefix(dir, ".."+string(filepath.Separator)))] = p
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// standard tells a package of the standard library by its first path element,
// which is no domain.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != "sluice" && !strings.Contains(first, ".")
}
