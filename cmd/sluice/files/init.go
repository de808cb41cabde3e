package files

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sluice/config"
	"sluice/internal/atomicfile"
	"sluice/internal/httpsyntax"
)

// draft is what a new configuration says.
type draft struct {
	host       string // "" for any
	backend    string
	email      string // where the CA of ordered certificates may write to
	selfSigned bool   // certificates come from the local CA
}

// InitCommand returns the command that writes a first configuration.
func InitCommand() *cobra.Command {
	var d draft
	var output string
	var yes bool
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a first configuration file, after a few questions",
		Long: "Write a first configuration file, after a few questions.\n\n" +
			"In a terminal it asks for what no flag gives; elsewhere, and with --yes, it takes\n" +
			"the defaults. So it does where it writes to standard output. It never writes over a file.",
		Example: "  sluice init\n" +
			"  sluice init chat.yaml --host chat.example.com --backend 127.0.0.1:9000 --acme-email ops@example.com",
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return fmt.Errorf("init writes one file, and was given %d names", len(args))
			case len(args) == 1 && c.Flags().Changed("output"):
				return errors.New("the file is named twice: leave --output or the argument off")
			case c.Flags().Changed("acme-email") && c.Flags().Changed("self-signed"):
				return errors.New("--acme-email and --self-signed are about two kinds of certificates: leave one of them off")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				output = args[0]
			}
			if err := isFree(output); err != nil {
				return err
			}
			in, terminal := c.InOrStdin().(*os.File)
			if terminal && !yes && output != "-" && term.IsTerminal(int(in.Fd())) {
				given := func(flag string) bool { return c.Flags().Changed(flag) }
				if err := d.ask(in, c.OutOrStdout(), given); err != nil {
					return err
				}
			}
			return d.write(c.OutOrStdout(), output)
		},
	}
	f := c.Flags()
	f.StringVar(&d.host, "host", "", "`name` that clients ask for (default any)")
	f.StringVar(&d.backend, "backend", "127.0.0.1:9000", "`address` or URL of what is behind the gateway")
	f.StringVar(&d.email, "acme-email", "", "order certificates for --host from Let's Encrypt, which may write to this `address`")
	f.BoolVar(&d.selfSigned, "self-signed", false, "TLS with a certificate from a local CA, to try things out")
	f.StringVarP(&output, "output", "o", name, "`file` to write, - for standard output")
	f.BoolVarP(&yes, "yes", "y", false, "ask nothing")
	c.MarkFlagFilename("output", "yaml", "yml")
	return c
}

// isFree returns an error if there is a file already.
func isFree(file string) error {
	switch file {
	case "":
		return errors.New("the name of the file is empty: give one, or leave it off")
	case "-":
		return nil
	}
	switch _, err := os.Lstat(file); {
	case err == nil:
		return fmt.Errorf("%s is there already, and init writes over no file: name another one, or remove it", file)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// question is what a person is asked in place of a flag.
type question struct {
	flag, text string
	needed     func() bool // as far as it was answered; nil means always
	set        func(answer string) (wrong string)
}

// ask asks for what is not given, each question until its answer is right.
func (d *draft) ask(in io.Reader, out io.Writer, given func(flag string) bool) error {
	lines := bufio.NewScanner(in)
	for _, q := range []question{
		{"host", "Name that clients ask for, as in chat.example.com (empty: any): ", nil, func(a string) string {
			d.host = a
			return ""
		}},
		{"backend", "Address or URL of what is behind the gateway (empty: " + d.backend + "): ", nil, func(a string) string {
			if a != "" {
				d.backend = a
			}
			return ""
		}},
		{"acme-email", "Mail address, to order certificates for that name from Let's Encrypt (empty: none): ", func() bool { return !d.selfSigned && canOrder(d.host) }, func(a string) string {
			d.email = a
			return ""
		}},
		{"self-signed", "TLS with a certificate from a CA of this machine, to try things out? (y or n, empty: n): ", func() bool { return d.email == "" }, func(a string) string {
			switch strings.ToLower(a) {
			case "y", "yes":
				d.selfSigned = true
			case "", "n", "no":
			default:
				return "is neither y nor n"
			}
			return ""
		}},
	} {
		if given(q.flag) || q.needed != nil && !q.needed() {
			continue
		}
		if err := d.askUntil(q, lines, out); err != nil {
			return err
		}
	}
	return nil
}

// askUntil asks a question until its answer is right.
func (d *draft) askUntil(q question, lines *bufio.Scanner, out io.Writer) error {
	for {
		fmt.Fprint(out, q.text)
		if !lines.Scan() {
			fmt.Fprintln(out)
			return errors.Join(lines.Err(), errors.New("the questions were not answered: nothing was written"))
		}
		before := *d
		wrong := q.set(strings.TrimSpace(lines.Text()))
		if wrong == "" {
			wrong = d.wrong(q.flag)
		}
		if wrong == "" {
			return nil
		}
		fmt.Fprintln(out, " ", wrong)
		*d = before
	}
}

// canOrder reports whether a certificate can be ordered for a host: for a name that is no wildcard.
func canOrder(host string) bool {
	return host != "" && !strings.HasPrefix(host, "*.") && !httpsyntax.IsIP(host)
}

// wrong returns the first mistake that a flag makes, or "".
func (d *draft) wrong(flag string) string {
	for _, m := range d.mistakes() {
		if m.flag == flag {
			return m.message
		}
	}
	return ""
}

// mistake is what is wrong with a flag, or with what stands for one.
type mistake struct{ flag, message string }

// mistakes returns all of them.
func (d *draft) mistakes() (all []mistake) {
	if d.email != "" && !canOrder(d.host) {
		all = append(all, mistake{"acme-email", "certificates are ordered for names: give one as the host, which is no wildcard"})
	}
	_, err := d.text()
	problems, _ := errors.AsType[config.Problems](err) // another error is for write to return
	for _, p := range problems {
		flag := "backend"
		switch {
		case strings.HasPrefix(p.Path, "routes[0].host"), strings.HasPrefix(p.Path, "tls.self_signed"):
			flag = "host"
		case strings.HasPrefix(p.Path, "tls.acme"):
			flag = "acme-email"
		}
		all = append(all, mistake{flag, p.Message})
	}
	return all
}

// write writes the configuration and says what to do next.
func (d *draft) write(out io.Writer, file string) error {
	var wrong []error
	for _, m := range d.mistakes() {
		wrong = append(wrong, fmt.Errorf("--%s: %s", m.flag, m.message))
	}
	if wrong != nil {
		return errors.Join(wrong...)
	}
	text, err := d.text()
	if err != nil {
		return err
	}
	if file == "-" {
		_, err := out.Write(text)
		return err
	}
	if err := create(file, text); err != nil {
		return err
	}
	argument := " " + file
	if filepath.Clean(file) == name {
		argument = ""
	}
	fmt.Fprintf(out, "wrote %s. What comes next:\n", file)
	for _, next := range [][2]string{
		{"check", "finds mistakes in it"},
		{"run", "starts the gateway: " + d.url()},
		{"schema --write", "gives your editor descriptions and completion for it"},
	} {
		fmt.Fprintf(out, "  %-*s  %s\n", len("sluice schema --write")+len(argument), "sluice "+next[0]+argument, next[1])
	}
	return nil
}

// create writes a file that is not there yet.
func create(file string, text []byte) error {
	err := atomicfile.Create(file, text, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no directory %s: make it first", file, filepath.Dir(file))
	}
	return err
}

// url returns what to open when the gateway runs.
func (d *draft) url() string {
	host := d.host
	below, wildcard := strings.CutPrefix(host, "*.")
	switch {
	case host == "":
		host = "localhost"
	case wildcard:
		host = "any." + below
	}
	host = httpsyntax.Bracket(strings.Trim(host, "[]"))
	switch {
	case d.email != "":
		return "https://" + host + "/"
	case d.selfSigned:
		return "https://" + host + ":8443/"
	}
	return "http://" + host + ":8080/"
}

// text returns the configuration in the normal form, or what is wrong with it.
func (d *draft) text() ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n# The configuration of sluice. Paths in it start from the directory of this file.\n\n", Modeline)
	switch {
	case d.email != "":
		fmt.Fprintf(&b, `# Certificates are ordered for the hosts of the routes, and renewed. The CA asks at ports 80 and 443, which are
# the default listeners: :443 with TLS, and :80, which redirects to it.
tls:
  acme:
    email: %s

`, quote(d.email))
	case d.selfSigned:
		host := d.host
		if host == "" {
			host = "localhost"
		}
		fmt.Fprintf(&b, `listeners:
  - address: ":8443"
    tls: true
  - address: ":8080"
    redirect_https: true

# The certificate is from a CA on this machine: 'sluice trust' says how to trust it.
tls:
  self_signed: [%s]

`, quote(host))
	default:
		b.WriteString("listeners:\n  - address: \":8080\"\n\n")
	}
	fmt.Fprintf(&b, `# Where requests go. More endpoints share the work.
backends:
  app:
    endpoints:
      - %s

# What comes in. The most specific route wins, whatever the order.
routes:
  - name: app
`, quote(d.backend))
	if d.host != "" {
		fmt.Fprintf(&b, "    host: %s\n", quote(d.host))
	}
	b.WriteString(`    path: /*
    backend: app
    websocket:
      origins: [same-origin]   # pages of other sites may not connect: add theirs, or remove the line
      ping_interval: 30s       # clients that are gone are noticed
`)
	text := []byte(b.String())
	// Where the state is kept is no question here, so any HOME will do.
	if _, err := config.Parse(name, text, config.Options{Getenv: func(key string) (string, bool) { return "/", key == "HOME" }}); err != nil {
		return nil, err
	}
	return config.Format(name, text)
}

// quote returns a text as a value in YAML.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always marshals
	}
	return string(quoted)
}
