package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func forGitHub(sinks []reportSink) bool {
	return slices.ContainsFunc(sinks, func(s reportSink) bool { return s.format == "github" })
}

// checkActions says that -o github has nowhere to go.
func checkActions(env Env) error {
	if env.get("GITHUB_ACTIONS") == "" {
		return errors.New("-o github is for GitHub Actions, and this is none: GITHUB_ACTIONS is not set")
	}
	return nil
}

// annotate shows in GitHub's diff what is wrong with a spec.
func annotate(env Env, sinks []reportSink, err error) error {
	problems, ok := errors.AsType[spec.Problems](err)
	if !ok || !forGitHub(sinks) {
		return nil
	}
	return view.ProblemsGitHub(env.Stdout, problems)
}

// tellGitHub tells the job's step summary, its outputs and the pull request.
// https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
func tellGitHub(ctx context.Context, env Env, sinks []reportSink, stacks []view.Stack) error {
	if !forGitHub(sinks) {
		return nil
	}
	return errors.Join(
		appendTo(env.get("GITHUB_STEP_SUMMARY"), func(w io.Writer) error {
			if len(stacks) == 1 && stacks[0].Report != nil {
				return view.Markdown(w, stacks[0].Report)
			}
			return view.StacksMarkdown(w, stacks)
		}),
		appendTo(env.get("GITHUB_OUTPUT"), func(w io.Writer) error { return jobOutputs(w, stacks) }),
		comment(ctx, env, stacks),
	)
}

// jobOutputs are the step's outputs. Of several stacks there is no one digest.
func jobOutputs(w io.Writer, stacks []view.Stack) error {
	inSync, changes, digest := true, 0, ""
	for _, s := range stacks {
		if s.Report == nil {
			inSync = false
			continue
		}
		inSync = inSync && s.Report.InSync()
		for _, r := range s.Report.Results {
			if len(r.Diffs) > 0 {
				changes++
			}
		}
		if len(stacks) == 1 {
			digest = s.Report.Digest
		}
	}
	_, err := fmt.Fprintf(w, "in_sync=%t\ndigest=%s\nchanges=%d\n", inSync, digest, changes)
	return err
}

// appendTo adds to a file that a step of a job hands over, "" where there is
// none.
func appendTo(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	var text strings.Builder
	if err := write(&text); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("write the github report: %w", err)
	}
	_, err = io.WriteString(file, text.String())
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the github report: %w", err)
	}
	return nil
}

// pullRequest is the number of the pull request that the job is about, 0 where
// it is about none.
func pullRequest(path string) (int, error) {
	if path == "" {
		return 0, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the event: %w", err)
	}
	var event struct {
		PullRequest struct{ Number int } `json:"pull_request"`
		Issue       struct {
			Number      int
			PullRequest *struct{} `json:"pull_request"`
		}
	}
	if err := json.Unmarshal(text, &event); err != nil {
		return 0, fmt.Errorf("read the event in %s: %w", path, err)
	}
	if event.Issue.PullRequest != nil {
		return event.Issue.Number, nil
	}
	return event.PullRequest.Number, nil
}

// comment writes one comment a stack, over the one that an earlier run has
// left. A token that may not do so, as that of a pull request from a fork, is
// no failure: the summary has the report as well.
func comment(ctx context.Context, env Env, stacks []view.Stack) error {
	number, err := pullRequest(env.get("GITHUB_EVENT_PATH"))
	if err != nil || number == 0 {
		return err
	}
	c := comments{
		api: &sink.GitHub{
			URL: env.get("GITHUB_API_URL"), Token: cmp.Or(env.get("GITHUB_TOKEN"), env.get("GH_TOKEN")),
			Client: &http.Client{Timeout: 30 * time.Second}, Pause: env.Pause,
		},
		repository: env.get("GITHUB_REPOSITORY"), number: number,
	}
	for _, s := range stacks {
		if s.Report == nil {
			continue
		}
		var body strings.Builder
		if err := view.Comment(&body, s.Report); err != nil {
			return err
		}
		err := c.write(ctx, view.CommentMark(s.Report.Project+"/"+s.Report.Environment), body.String())
		switch sink.Status(err) {
		case http.StatusForbidden, http.StatusNotFound:
			fmt.Fprintln(env.Stderr, view.Printable(fmt.Sprintf("Warning: the pull request has no comment of %s/%s, as the token may not write one (GitHub answers %d): the job needs permissions: pull-requests: write",
				s.Report.Project, s.Report.Environment, sink.Status(err))))
		default:
			if err != nil {
				return fmt.Errorf("comment on pull request %d: %w", number, err)
			}
		}
	}
	return nil
}

// comments are those of one pull request.
type comments struct {
	api        *sink.GitHub
	repository string
	number     int
}

type issueComment struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
}

// write puts the text into the oldest comment that has the mark, or a new one.
// Two jobs at once may both make one: each then looks again, and takes away
// all but the oldest, in which the last of them has written.
func (c comments) write(ctx context.Context, mark, body string) error {
	marked, err := c.find(ctx, mark)
	if err != nil {
		return err
	}
	text := map[string]string{"body": body}
	if len(marked) == 0 {
		if err := c.api.Call(ctx, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/comments", c.repository, c.number), text, nil); err != nil {
			return err
		}
		if marked, err = c.find(ctx, mark); err != nil {
			return err
		}
		if len(marked) <= 1 {
			return nil
		}
	}
	if err := c.api.Call(ctx, http.MethodPatch, c.path(marked[0].ID), text, nil); err != nil {
		return err
	}
	for _, extra := range marked[1:] {
		if err := c.api.Call(ctx, http.MethodDelete, c.path(extra.ID), nil, nil); err != nil && sink.Status(err) != http.StatusNotFound {
			return err
		}
	}
	return nil
}

func (c comments) path(id int64) string {
	return fmt.Sprintf("/repos/%s/issues/comments/%d", c.repository, id)
}

// find lists the comments that begin with the mark, the oldest first.
func (c comments) find(ctx context.Context, mark string) ([]issueComment, error) {
	const perPage = 100
	var marked []issueComment
	for page := 1; ; page++ {
		var list []issueComment
		path := fmt.Sprintf("/repos/%s/issues/%d/comments?per_page=%d&page=%d", c.repository, c.number, perPage, page)
		if err := c.api.Call(ctx, http.MethodGet, path, nil, &list); err != nil {
			return nil, err
		}
		for _, one := range list {
			if strings.HasPrefix(one.Body, mark) {
				marked = append(marked, one)
			}
		}
		if len(list) < perPage {
			break
		}
	}
	slices.SortFunc(marked, func(a, b issueComment) int { return cmp.Compare(a.ID, b.ID) })
	return marked, nil
}
