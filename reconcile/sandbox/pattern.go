package sandbox

import (
	"regexp"
	"sync"
)

// A pattern is a regular expression that is compiled when it is first asked.
// The package is part of every command, and few of them make a sandbox: \p{L}
// and {1,512} take longer to compile than many a command takes to run.
type pattern struct {
	expr string
	once sync.Once
	re   *regexp.Regexp
}

func (p *pattern) compiled() *regexp.Regexp {
	p.once.Do(func() { p.re = regexp.MustCompile(p.expr) })
	return p.re
}

// MatchString says whether s matches.
func (p *pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

// String is the expression, for messages.
func (p *pattern) String() string { return p.expr }
