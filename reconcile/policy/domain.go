package policy

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// A domain is what a condition key can be in a request, as far as conditions
// on it tell: lists of values, nil for a key that is absent.
type domain struct {
	values  [][]string
	partial bool // there are more combinations
}

// maxCombined is up to how many values of a key all lists of them are tried,
// where conditions are on lists.
const maxCombined = 6

// newDomain divides the values of one key. patterns are those of its
// conditions.
func newDomain(conditions []*condition, patterns []*pattern) (domain, error) {
	var singles []string
	var kinds []comparison
	var numbers, times []float64
	lists := false
	for _, c := range conditions {
		lists = lists || c.quantifier != single
		kinds = append(kinds, c.kind)
		for _, v := range c.values {
			if v.bad {
				continue
			}
			switch c.kind {
			case boolean:
				singles = append(singles, "true", "false")
			case number:
				numbers = append(numbers, v.number)
			case date:
				times = append(times, v.number)
			case address:
				singles = append(singles, edges(v.prefix)...)
			}
		}
	}
	for _, n := range around(numbers) {
		singles = append(singles, strconv.FormatFloat(n, 'f', -1, 64))
	}
	for _, n := range around(times) {
		whole, part := math.Modf(n)
		singles = append(singles, time.Unix(int64(whole), int64(part*1e9)).UTC().Format(time.RFC3339Nano))
	}
	if len(patterns) > 0 {
		for i, p := range patterns {
			patterns[i] = p.widest()
		}
		shapes := []*pattern{compile("?*", syntax{wildcards: true})}
		if slices.Contains(kinds, arn) && !slices.Contains(kinds, words) {
			shapes = []*pattern{resourceShape}
		} else if slices.ContainsFunc(patterns, func(p *pattern) bool { return matches(p.tokens, "") }) {
			singles = append(singles, "")
		}
		found, err := classes(shapes, patterns)
		if err != nil {
			return domain{}, err
		}
		for _, c := range found {
			singles = append(singles, c.example)
		}
	}
	if len(singles) == 0 {
		singles = []string{"x"} // only whether it is there counts
	}
	slices.Sort(singles)
	singles = slices.Compact(singles)

	slices.Sort(kinds)
	kinds = slices.DeleteFunc(slices.Compact(kinds), func(k comparison) bool { return k == null })
	d := domain{values: [][]string{nil}, partial: len(kinds) > 1 && !(len(kinds) == 2 && kinds[0] == words && kinds[1] == arn)}
	for _, s := range singles {
		d.values = append(d.values, []string{s})
	}
	if !lists {
		return d, nil
	}
	if len(singles) > maxCombined {
		d.partial = true
		for i, a := range singles {
			for _, b := range singles[i+1:] {
				d.values = append(d.values, []string{a, b})
			}
		}
		return d, nil
	}
	for chosen := 1; chosen < 1<<len(singles); chosen++ {
		var list []string
		for i, s := range singles {
			if chosen&(1<<i) != 0 {
				list = append(list, s)
			}
		}
		if len(list) > 1 {
			d.values = append(d.values, list)
		}
	}
	return d, nil
}

// around is every number, one between any two neighbours, and one on either
// side of all: no comparison tells more apart.
func around(numbers []float64) []float64 {
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	var all []float64
	for i, n := range numbers {
		if i == 0 {
			all = append(all, n-1)
		} else {
			all = append(all, (numbers[i-1]+n)/2)
		}
		all = append(all, n)
	}
	if len(numbers) > 0 {
		all = append(all, numbers[len(numbers)-1]+1)
	}
	return all
}

// edges are the addresses at which a prefix begins and ends, and the ones
// beside it: between any two edges, no condition tells addresses apart.
func edges(p netip.Prefix) []string {
	begin := p.Masked().Addr()
	end := begin.AsSlice()
	for i := p.Bits(); i < len(end)*8; i++ {
		end[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(end)
	var list []string
	for _, a := range []netip.Addr{begin.Prev(), begin, last, last.Next()} {
		if a.IsValid() {
			list = append(list, a.String())
		}
	}
	if begin.Is4() {
		return append(list, "2001:db8::1")
	}
	return append(list, "192.0.2.1")
}
