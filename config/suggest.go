package config

import (
	"iter"
	"strconv"
)

// suggest returns `, did you mean "x"?` for the candidate nearest to word, or
// "" if none is near. Long words and all but the first thousand candidates are
// left out: the work for a file of mistakes stays bounded.
func suggest(word string, candidates iter.Seq[string]) string {
	if len(word) > 64 {
		return ""
	}
	best, least, seen := "", len(word)/3+2, 0
	for candidate := range candidates {
		if seen++; seen > 1000 {
			break
		}
		if d := distance(word, candidate, least); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + strconv.Quote(best) + "?"
}

// distance is the number of letters to insert, delete, replace or swap with a
// neighbour to turn a into b (optimal string alignment), or limit if it is not
// below limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
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
