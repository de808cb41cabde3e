package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"sluice/config"
	"sluice/internal/atomicfile"
)

// schemaName is the file of the JSON Schema beside a configuration.
const schemaName = "sluice.schema.json"

// Modeline is the first line of a configuration, by which editors find its schema.
const Modeline = "# yaml-language-server: $schema=" + schemaName

// SchemaCommand returns the command that prints or writes the JSON Schema.
func SchemaCommand() *cobra.Command {
	var write bool
	c := &cobra.Command{
		Use:   "schema [PATH]",
		Short: "Print the JSON Schema of the configuration file, or write it for editors",
		Long: "Print the JSON Schema of the configuration file, or write it for editors.\n\n" +
			"With --write it becomes the file " + schemaName + " beside the configuration, where\n" +
			"editors with a YAML language server find it if the first line of that is\n\n" +
			"  " + Modeline + "\n\n" +
			"PATH is a directory, a configuration (the schema goes beside it), or a file with\n" +
			"another name.",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return fmt.Errorf("%q is one argument too many: schema takes one path", args[1])
			case len(args) == 1 && !write:
				return fmt.Errorf("schema prints to standard output: add --write to write to %s", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if !write {
				_, err := c.OutOrStdout().Write(config.Schema())
				return err
			}
			file, err := schemaFile(args)
			if err == nil {
				err = writeSchema(file)
			}
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "wrote %s\n", file)
			}
			return err
		},
	}
	c.Flags().BoolVar(&write, "write", false, "write it to PATH, or beside the configuration (default "+schemaName+" in the directory of the configuration, or in the working directory)")
	return c
}

// schemaFile returns where the schema is written.
func schemaFile(args []string) (string, error) {
	if len(args) == 0 {
		if found, err := find(Places()); err == nil {
			return filepath.Join(filepath.Dir(found), schemaName), nil
		}
		return schemaName, nil
	}
	path := args[0]
	switch info, err := os.Stat(path); {
	case path == "":
		return "", errors.New("the path is empty: leave it off, or name a directory or a file")
	case err == nil && info.IsDir():
		return filepath.Join(path, schemaName), nil
	case slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)):
		return filepath.Join(filepath.Dir(path), schemaName), nil
	}
	return path, nil
}

// writeSchema writes the schema to a file that does not exist or has an earlier one.
func writeSchema(file string) error {
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return create(file, config.Schema())
	case err != nil:
		return err
	}
	var before, now struct{ Title string }
	if json.Unmarshal(config.Schema(), &now) != nil || json.Unmarshal(text, &before) != nil || before.Title != now.Title {
		return fmt.Errorf("%s exists and is no schema of a configuration: remove it, or name another file", file)
	}
	return atomicfile.Rewrite(file, config.Schema(), 0o777)
}
