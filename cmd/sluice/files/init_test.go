package files

import (
	"os"
	"strings"
	"testing"

	"sluice/config"
)

// execute runs a command line of init or schema, and returns what it says.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := InitCommand()
	if args[0] == "schema" {
		c = SchemaCommand()
	}
	c.SilenceErrors, c.SilenceUsage = true, true
	var out strings.Builder
	c.SetIn(strings.NewReader(""))
	c.SetOut(&out)
	c.SetArgs(args[1:])
	err := c.Execute()
	return out.String(), err
}

func TestInitWritesAConfigurationThatIsGood(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want []string // what is in the file
		next string   // what is in the output
	}{
		{name: "defaults", want: []string{`":8080"`, "127.0.0.1:9000"}, next: "sluice run             starts the gateway: http://localhost:8080/"},
		{name: "names", args: []string{"--host", "chat.example.com", "--backend", "https://10.0.0.1"}, want: []string{"host: chat.example.com", "- https://10.0.0.1\n"}, next: "http://chat.example.com:8080/"},
		{name: "ordered certificates", args: []string{"--host", "chat.example.com", "--acme-email", "ops@example.com"}, want: []string{"email: ops@example.com"}, next: "https://chat.example.com/"},
		{name: "certificates of the local CA", args: []string{"--self-signed"}, want: []string{"self_signed: [localhost]", "redirect_https: true"}, next: "https://localhost:8443/"},
		{name: "wildcard", args: []string{"--host", "*.example.com"}, want: []string{`host: "*.example.com"`}, next: "http://any.example.com:8080/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			out, err := execute(t, append([]string{"init"}, tt.args...)...)
			if err != nil || !strings.Contains(out, tt.next) || !strings.Contains(out, "sluice check") {
				t.Fatalf("init %q says %v\n%s\nwant %s and what comes next", tt.args, err, out, tt.next)
			}
			text, err := os.ReadFile("sluice.yaml")
			if err != nil || !strings.HasPrefix(string(text), Modeline+"\n") {
				t.Fatalf("the file begins with another line (%v):\n%s", err, text)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(text), want) {
					t.Errorf("the file has no %s:\n%s", want, text)
				}
			}
			if _, err := config.Load("sluice.yaml"); err != nil {
				t.Errorf("the file has mistakes: %v", err)
			}
			if form, err := config.Format("sluice.yaml", text); err != nil || string(form) != string(text) {
				t.Errorf("the file is not in the normal form, %v:\n%s", err, form)
			}
		})
	}
}

func TestInitRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("there.yaml", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{name: "a file that is there", args: []string{"-o", "there.yaml"}, want: "there.yaml is there already"},
		{name: "a host with a scheme", args: []string{"--host", "http://a"}, want: "is not a host"},
		{name: "a host that would be YAML", args: []string{"--host", "a\nroutes: []"}, want: "is not an IP address"},
		{name: "a backend without a port", args: []string{"--backend", "a"}, want: "has no port"},
		{name: "certificates for no name", args: []string{"--acme-email", "a@b.c"}, want: "certificates are ordered for names"},
		{name: "both kinds of certificates", args: []string{"--host", "a.b", "--acme-email", "a@b.c", "--self-signed"}, want: "two kinds of certificates: leave one of them off"},
		{name: "a directory that is missing", args: []string{"-o", "no/a.yaml"}, want: "there is no directory no: make it first"},
		{name: "no name", args: []string{"-o", ""}, want: "the name of the file is empty: give one, or leave it off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if out, err := execute(t, append([]string{"init"}, tt.args...)...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("init %q says %v, %s; want %s", tt.args, err, out, tt.want)
			}
		})
	}
	if all, err := os.ReadDir("."); err != nil || len(all) != 1 {
		t.Errorf("after all that the directory has %v, %v; want the first file alone", all, err)
	}
}

func TestQuestionsAreAskedUntilTheAnswerIsRight(t *testing.T) {
	d := draft{backend: "127.0.0.1:9000"}
	var out strings.Builder
	answers := "http://a\nchat.example.com\nnowhere\n\nops\nops@example.com\n"
	if err := d.ask(strings.NewReader(answers), &out, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if want := (draft{host: "chat.example.com", backend: "127.0.0.1:9000", email: "ops@example.com"}); d != want {
		t.Errorf("the answers make %+v; want %+v", d, want)
	}
	for _, want := range []string{"is not a host", "has no port", "is not an address"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no word of an answer that %s:\n%s", want, out.String())
		}
	}
	if err := new(draft).ask(strings.NewReader("a.b\n"), &out, func(string) bool { return false }); err == nil {
		t.Error("questions that were not answered are no error")
	}
	if err := new(draft).ask(strings.NewReader(""), &out, func(string) bool { return true }); err != nil {
		t.Errorf("with nothing to ask: %v", err)
	}
}
