package report

import (
	"iter"
	"strconv"
)

const (
	longest   = 64  // letters of a word that is compared with others
	mostTried = 200 // candidates that one word is compared with
)

// Suggest returns `, did you mean "x"?` for the candidate nearest to word, or "" if none is near: more than
// a letter in three is no slip.
// Long words and all but the first candidates are left out, so that the work for a file of mistakes
// stays bounded.
func Suggest(word string, candidates iter.Seq[string]) string {
	if len(word) > longest {
		return ""
	}
	best, least, seen := "", len(word)/3+1, 0
	if len(word) == 2 || len(word) == 1 {
		least = len(word)
	}
	for candidate := range candidates {
		if seen++; seen > mostTried {
			break
		}
		d := distance(word, candidate, least)
		if short := min(len(word), len(candidate)); short > 2 && len(candidate) <= longest && word[:short] == candidate[:short] {
			d = min(d, 1) // one goes on with the other
		}
		if d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + strconv.Quote(best) + "?"
}

// distance returns the number of letters to insert, delete, replace or swap with a neighbour to turn
// a into b (optimal string alignment), or limit if it is not below limit or one of them is longer
// than longest.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || max(len(a), len(b)) > longest {
		return limit
	}
	var rows [3][longest + 1]int
	before, above, row := &rows[0], &rows[1], &rows[2]
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := above[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(above[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return min(above[len(b)], limit)
}
