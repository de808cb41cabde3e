package record

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// suites are the suites that a State covers.
var suites = []uint16{
	tls.TLS_AES_128_GCM_SHA256,
	tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
}

// end is one end of a connection.
type end struct {
	State
	Ciphers
}

func (e *end) seal(t testing.TB, plain []byte) []byte {
	t.Helper()
	b, err := e.Seal(&e.Ciphers, nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// put seals one record of any type and content.
func (e *end) put(t testing.TB, typ byte, content []byte) []byte {
	t.Helper()
	b, err := e.encrypt(&e.Ciphers.out, nil, typ, content)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (e *end) open(in []byte) (Record, error) { return e.Open(&e.Ciphers, in, 0) }

// ends returns both ends of a connection whose keys come from no handshake.
func ends(t testing.TB, id uint16) (client, server *end) {
	t.Helper()
	s, ok := suiteOf(id)
	if !ok {
		t.Fatalf("%s is not covered", tls.CipherSuiteName(id))
	}
	client = &end{State: State{Version: s.version, Suite: id, client: true}}
	for _, h := range []*directionKeys{&client.State.in, &client.State.out} {
		rand.Read(h.secret[:])
		rand.Read(h.key[:])
		rand.Read(h.iv[:])
		if s.version == tls.VersionTLS13 {
			if err := h.derive(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	server = &end{State: client.State}
	server.client = false
	server.State.in, server.State.out = client.State.out, client.State.in
	return client, server
}

func eachSuite(t *testing.T, f func(t *testing.T, client, server *end)) {
	for _, id := range suites {
		t.Run(tls.CipherSuiteName(id), func(t *testing.T) {
			client, server := ends(t, id)
			f(t, client, server)
		})
	}
}

// A State lies in memory that the garbage collector does not know, and every idle session has
// one.
func TestStateIsFlatAndSmall(t *testing.T) {
	var flat func(reflect.Type) bool
	flat = func(typ reflect.Type) bool {
		switch typ.Kind() {
		case reflect.Bool, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			return true
		case reflect.Array:
			return flat(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				if !flat(typ.Field(i).Type) {
					t.Errorf("%s.%s is a %s", typ, typ.Field(i).Name, typ.Field(i).Type)
				}
			}
			return true
		}
		return false
	}
	typ := reflect.TypeFor[State]()
	if !flat(typ) || typ.Size() > 300 {
		t.Errorf("a State of %d bytes; want a flat one of at most 300", typ.Size())
	}
}

func TestStateShowsNoSecret(t *testing.T) {
	client, _ := ends(t, tls.TLS_AES_128_GCM_SHA256)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{client.State, &client.State, struct{ S State }{client.State}} {
			got := fmt.Sprintf(verb, v)
			if !strings.Contains(got, "TLS 1.3 TLS_AES_128_GCM_SHA256") || len(got) > 100 {
				t.Errorf("Sprintf(%q, %T) = %s", verb, v, got)
			}
		}
	}
}

func TestWipeLeavesNothing(t *testing.T) {
	client, _ := ends(t, tls.TLS_AES_256_GCM_SHA384)
	client.Wipe()
	if client.State != (State{}) {
		t.Error("something is left")
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 8448, section 3: the traffic secrets, what they expand to, and every
// record that is protected with it.
func TestKnownAnswers(t *testing.T) {
	suite, _ := suiteOf(tls.TLS_AES_128_GCM_SHA256)
	side := func(secret, key, iv string) (h directionKeys) {
		copy(h.secret[:], unhex(t, secret))
		if err := h.derive(suite); err != nil {
			t.Fatal(err)
		}
		if got, want := h.key[:suite.key], unhex(t, key); !bytes.Equal(got, want) {
			t.Errorf("key of %s = %x; want %x", secret, got, want)
		}
		if got, want := h.iv[:], unhex(t, iv); !bytes.Equal(got, want) {
			t.Errorf("IV of %s = %x; want %x", secret, got, want)
		}
		return h
	}
	fromClient := side("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
		"17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9")
	fromServer := side("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
		"9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984")
	client := &end{State: State{Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256, client: true, in: fromServer, out: fromClient}}
	server := &end{State: State{Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256, in: fromClient, out: fromServer}}

	payload := unhex(t, `000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
		202122232425262728292a2b2c2d2e2f3031`)
	ticket := unhex(t, `17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db28
		9a015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75
		e09c30ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a
		77f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c
		74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37bf15985684f`)
	if r, err := client.open(ticket); err != nil || r.Kind != Nothing || r.Used != len(ticket) {
		t.Errorf("Open of the ticket = %+v, %v; want Nothing", r, err)
	}
	server.State.out.sequence++ // it sent the ticket

	tests := []struct {
		name     string
		from, to *end
		alert    bool
		record   string
	}{
		{"data from the client", client, server, false, `1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f
			2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4`},
		{"data from the server", server, client, false, `17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36
			e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d`},
		{"the client's end", client, server, true, "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"},
		{"the server's end", server, client, true, "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := Record{Kind: Data, Data: payload}
			var got []byte
			if tt.alert {
				want = Record{Kind: Closed}
				got = tt.from.Alert(&tt.from.Ciphers, nil, CloseNotify)
			} else {
				got = tt.from.seal(t, payload)
			}
			record := unhex(t, tt.record)
			want.Used = len(record)
			if !bytes.Equal(got, record) {
				t.Errorf("sealed %x; want %x", got, record)
			}
			if r, err := tt.to.open(record); err != nil || !reflect.DeepEqual(r, want) {
				t.Errorf("Open = %+v, %v; want %+v", r, err, want)
			}
		})
	}
}
