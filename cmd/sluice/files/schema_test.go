package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/config"
)

func TestSchemaIsWrittenBesideTheConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"other.json", "sluice.yaml"} {
		if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		args []string
		file string // "" for standard output
		err  string
	}{
		{name: "printed"},
		{name: "beside the configuration", args: []string{"--write"}, file: schemaName},
		{name: "again", args: []string{"--write"}, file: schemaName},
		{name: "directory", args: []string{"--write", "etc"}, file: filepath.Join("etc", schemaName)},
		{name: "beside another configuration", args: []string{"--write", "etc/a.yaml"}, file: filepath.Join("etc", schemaName)},
		{name: "file", args: []string{"--write", "a.json"}, file: "a.json"},
		{name: "file of something else", args: []string{"--write", "other.json"}, err: "is no schema"},
		{name: "directory that is missing", args: []string{"--write", "no/a.json"}, err: "there is no directory no: make it first"},
		{name: "path without the flag", args: []string{"a.json"}, err: "add --write"},
		{name: "no path", args: []string{"--write", ""}, err: "the path is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := execute(t, append([]string{"schema"}, tt.args...)...)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("schema %q says %v; want %q", tt.args, err, tt.err)
			}
			if err != nil {
				return
			}
			if tt.file != "" {
				text, err := os.ReadFile(tt.file)
				if err != nil || out != "wrote "+tt.file+"\n" {
					t.Fatalf("schema %q says %q, %v", tt.args, out, err)
				}
				out = string(text)
			}
			if out != string(config.Schema()) {
				t.Errorf("schema %q gives %d bytes; want the schema", tt.args, len(out))
			}
		})
	}
}
