package compress

import "strings"

// choose returns the coding that an Accept-Encoding header ranks highest (RFC
// 9110, section 12.5.3), the first of several with the same weight. It returns
// nil when the answer must stay as it is. It also does when the header refuses
// every coding: an answer in a form that the client did not ask for is better
// than none.
func (c *Compressor) choose(header []string) *coding {
	var best *coding
	most := quality(header, "identity")
	for _, k := range c.codings {
		q := quality(header, k.name)
		if q > most || q == most && best == nil && q > 0 {
			best, most = k, q
		}
	}
	if most <= 0 {
		return nil
	}
	return best
}

// quality returns the weight, in thousandths, that an Accept-Encoding header
// gives a coding. It is that of the first item that names the coding, else that
// of the first "*", else -1.
func quality(header []string, name string) int {
	others := -1
	for _, line := range header {
		for item := range strings.SplitSeq(line, ",") {
			token, parameter, weighted := strings.Cut(item, ";")
			token = strings.Trim(token, " \t")
			q := 1000
			if weighted {
				q = weight(strings.Trim(parameter, " \t"))
			}
			switch {
			case strings.EqualFold(token, name), name == "gzip" && strings.EqualFold(token, "x-gzip"):
				return q
			case token == "*" && others < 0:
				others = q
			}
		}
	}
	return others
}

// weight returns the thousandths of a parameter such as "q=0.5" (RFC 9110,
// section 12.4.2). A malformed one counts as 0, because the client may not want
// the coding.
func weight(parameter string) int {
	if len(parameter) < 3 || len(parameter) > 7 || parameter[0]|' ' != 'q' || parameter[1] != '=' {
		return 0
	}
	whole, rest := parameter[2], parameter[3:]
	if whole != '0' && whole != '1' || rest != "" && rest[0] != '.' {
		return 0
	}
	q := 1000 * int(whole-'0')
	for i, unit := 1, 100; i < len(rest); i, unit = i+1, unit/10 {
		if rest[i] < '0' || rest[i] > '9' {
			return 0
		}
		q += unit * int(rest[i]-'0')
	}
	if q > 1000 {
		return 0
	}
	return q
}
