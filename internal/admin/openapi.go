package admin

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// OpenAPI returns the interface as an OpenAPI 3.1 document, made from the table of endpoints and
// from the types of their answers.
func OpenAPI() map[string]any {
	d := description{schemas: make(map[string]any)}
	paths := make(map[string]any)
	for _, e := range endpoints() {
		if paths[e.path] == nil {
			paths[e.path] = make(map[string]any)
		}
		paths[e.path].(map[string]any)[strings.ToLower(e.method)] = d.operation(e)
	}
	d.of(reflect.TypeFor[Failure]())
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "sluice admin interface", "version": "1",
			"description": "What a sluice gateway does, and changes to it: docs/admin.md.",
		},
		"paths": paths,
		"components": map[string]any{
			"schemas":         d.schemas,
			"securitySchemes": map[string]any{"token": map[string]any{"type": "http", "scheme": "bearer"}},
		},
	}
}

// description collects the schemas of types.
type description struct{ schemas map[string]any }

func (d description) operation(e endpoint) map[string]any {
	ok := map[string]any{"description": "Done."}
	if e.result != nil {
		ok["content"] = content(d.of(e.result))
	}
	wrong := map[string]any{"description": "It was refused or has failed.", "content": content(d.of(reflect.TypeFor[Failure]()))}
	operation := map[string]any{
		"summary":   e.doc,
		"responses": map[string]any{"200": ok, "default": wrong},
	}
	if e.also != 0 {
		operation["responses"].(map[string]any)[strconv.Itoa(e.also)] = ok
	}
	if e.body != nil {
		operation["requestBody"] = map[string]any{"required": true, "content": content(d.of(e.body))}
	}
	if !e.open {
		operation["security"] = []any{map[string]any{"token": []any{}}}
	}
	if parameters := e.describeParameters(); len(parameters) > 0 {
		operation["parameters"] = parameters
	}
	return operation
}

func content(schema any) map[string]any {
	return map[string]any{jsonType: map[string]any{"schema": schema}}
}

// describeParameters describes what is in the path and in the query.
func (e endpoint) describeParameters() (all []any) {
	for part := range strings.SplitSeq(e.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			all = append(all, map[string]any{
				"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": map[string]any{"type": "string"},
			})
		}
	}
	for _, p := range e.parameters {
		kind := p.Kind
		if kind == "duration" {
			kind = "string"
		}
		all = append(all, map[string]any{
			"name": p.Name, "in": "query", "description": p.Doc, "schema": map[string]any{"type": kind},
		})
	}
	return all
}

// of returns the schema of a type. That of a struct is among the schemas, and a reference here.
func (d description) of(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return d.of(t.Elem())
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": d.of(t.Elem())}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.of(t.Elem())}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return map[string]any{"type": "number"}
	case t.Kind() != reflect.Struct:
		return map[string]any{"type": "integer"}
	}
	if d.schemas[t.Name()] == nil {
		d.schemas[t.Name()] = d.structure(t)
	}
	return map[string]any{"$ref": "#/components/schemas/" + t.Name()}
}

func (d description) structure(t reflect.Type) map[string]any {
	properties, required := make(map[string]any), []string{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue // its fields are visible too
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		property := d.of(f.Type)
		property["description"] = f.Tag.Get("doc")
		properties[name] = property
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}
