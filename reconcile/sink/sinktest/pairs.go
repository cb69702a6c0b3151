package sinktest

import (
	"maps"
	"net/http"
	"regexp"
	"sync"
)

// Pairs remembers the secrets of the key pairs that pass through it on their
// way from an AWS endpoint, which forgets them. The zero value is ready.
type Pairs struct {
	mu      sync.Mutex
	secrets map[string]string // by id
}

// Secret is the secret of a pair; "" where none was told to anybody.
func (p *Pairs) Secret(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.secrets[id]
}

// All is every pair, secrets by id.
func (p *Pairs) All() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.secrets)
}

var (
	answeredID     = regexp.MustCompile(`<AccessKeyId>([^<]+)</AccessKeyId>`)
	answeredSecret = regexp.MustCompile(`<SecretAccessKey>([^<]+)</SecretAccessKey>`)
)

// Watch serves what next does.
func (p *Pairs) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tee := &tee{ResponseWriter: w}
		// Also where next gives up in the midst of an answer.
		defer func() {
			id, secret := answeredID.FindSubmatch(tee.body), answeredSecret.FindSubmatch(tee.body)
			if id == nil || secret == nil {
				return
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.secrets == nil {
				p.secrets = map[string]string{}
			}
			p.secrets[string(id[1])] = string(secret[1])
		}()
		next.ServeHTTP(tee, r)
	})
}

type tee struct {
	http.ResponseWriter
	body []byte
}

func (t *tee) Write(b []byte) (int, error) {
	t.body = append(t.body, b...)
	return t.ResponseWriter.Write(b)
}

// Unwrap lets the sandbox flush half an answer.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }
