package top

import (
	"fmt"
	"maps"
	"net/url"
	"strings"

	"sluice/internal/admin"
)

// filter says which sessions are shown. Nil means all of them.
type filter struct {
	text   string // as it was typed
	values url.Values
}

// parseFilter reads keys and values such as 'route=chat client=192.0.2.0/24'. Quotes keep spaces together.
// What the keys mean is for the interface to say, except that keys which are no filter are refused. A
// text without any is nil.
func parseFilter(text string) (*filter, error) {
	f := &filter{text: strings.Trim(text, " "), values: make(url.Values)}
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is no key=value, such as route=chat", word)
		}
		if key == "limit" || key == "sort" {
			return nil, fmt.Errorf("%s is no filter: the keys are %s", key, filterKeys())
		}
		f.values.Add(key, value)
	}
	if len(f.values) == 0 {
		return nil, nil
	}
	return f, nil
}

// split cuts a text at its spaces, except for those between double quotes.
func split(text string) (words []string, err error) {
	var word strings.Builder
	quoted, any := false, false
	for _, r := range text + " " {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case r != ' ' || quoted:
			word.WriteRune(r)
			any = true
		case any:
			words = append(words, word.String())
			word.Reset()
			any = false
		}
	}
	if quoted {
		return nil, fmt.Errorf(`a quote (") is not closed`)
	}
	return words, nil
}

// parameters returns the parameters for a request.
func (f *filter) parameters() url.Values {
	if f == nil {
		return make(url.Values)
	}
	return maps.Clone(f.values)
}

// String returns the text that [parseFilter] reads.
func (f *filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// filterKeys lists the keys of filters.
func filterKeys() string {
	var names []string
	for _, p := range admin.FilterParameters() {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}
