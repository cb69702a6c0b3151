// Package reconcile brings AWS to what a spec says.
//
// It rests on one idea: a line of the difference and the API call that mends
// it are one value, a [Step]. [Look] reads everything and yields steps; a dry
// run prints them, [Run.Apply] does them. There is no second path that could
// disagree with the first.
//
// The kinds of resources live in the packages below, a file each: what the
// spec wants, what AWS has, how it is described, how the two differ.
package reconcile
