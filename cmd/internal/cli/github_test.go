package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
)

// A pull is a pull request's comments, as GitHub keeps them.
type pull struct {
	mu   sync.Mutex
	next int64
	list []issueComment
}

func (p *pull) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var in issueComment
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&in)
	}
	id, _ := strconv.ParseInt(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], 10, 64)
	i := slices.IndexFunc(p.list, func(c issueComment) bool { return c.ID == id })
	switch {
	case r.Method == http.MethodGet:
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		from := min((page-1)*size, len(p.list))
		_ = json.NewEncoder(w).Encode(p.list[from:min(from+size, len(p.list))])
	case r.Method == http.MethodPost:
		p.next++
		p.list = append(p.list, issueComment{p.next, in.Body})
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(p.list[len(p.list)-1])
	case i < 0:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPatch:
		p.list[i].Body = in.Body
		_ = json.NewEncoder(w).Encode(p.list[i])
	case r.Method == http.MethodDelete:
		p.list = slices.Delete(p.list, i, i+1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (p *pull) comments(t *testing.T) comments {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return comments{
		api:        &sink.GitHub{URL: server.URL, Token: "token", Client: server.Client(), Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }},
		repository: "acme/churn", number: 7,
	}
}

func (p *pull) marked(mark string) (bodies []string) {
	for _, c := range p.list {
		if strings.HasPrefix(c.Body, mark) {
			bodies = append(bodies, c.Body)
		}
	}
	return bodies
}

// Over 50 pushes, and below 250 comments of others, a stack has one comment,
// and it is the last run's.
func TestOneComment(t *testing.T) {
	p := &pull{}
	for i := range 250 {
		p.next++
		p.list = append(p.list, issueComment{p.next, fmt.Sprint("looks good ", i, " <!-- churn-reconcile churn%2Fdev -->")})
	}
	c := p.comments(t)
	for push := range 50 {
		for _, mark := range []string{"<!-- dev -->", "<!-- prod -->"} {
			if err := c.write(t.Context(), mark, fmt.Sprint(mark, " push ", push)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, mark := range []string{"<!-- dev -->", "<!-- prod -->"} {
		if got := p.marked(mark); len(got) != 1 || got[0] != mark+" push 49" {
			t.Errorf("comments: %q", got)
		}
	}
	if len(p.list) != 252 {
		t.Errorf("%d comments, want those of others and two", len(p.list))
	}
}

// Jobs that race leave one comment, once they are through.
func TestCommentRaces(t *testing.T) {
	for range 20 {
		p := &pull{}
		c := p.comments(t)
		var wg sync.WaitGroup
		for job := range 8 {
			wg.Go(func() {
				if err := c.write(t.Context(), "<!-- dev -->", fmt.Sprint("<!-- dev --> job ", job)); err != nil && sink.Status(err) != http.StatusNotFound {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := p.marked("<!-- dev -->"); len(got) != 1 {
			t.Errorf("comments: %q", got)
		}
	}
}
