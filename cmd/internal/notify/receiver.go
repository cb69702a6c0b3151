package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
)

// A Receiver is somebody to be told, in a form of their own.
type Receiver interface {
	Name() string    // for logs: without the secret part of the address
	address() string // a secret
	wants(Event) bool
	most() int // events in one request
	body([]*Event) ([]byte, error)
}

// Parse reads the address of a receiver. Its errors quote no more of it than
// the host, since the rest is a secret.
func Parse(text string) (Receiver, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, errors.New("a URL is wanted, as in https://host/path, slack+https://… or pagerduty+https://…")
	}
	form, transport, both := strings.Cut(scheme, "+")
	if !both {
		form, transport = "", scheme
	}
	u, err := url.Parse(transport + "://" + rest)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%s://… is followed by no host and path that a URL has", scheme)
	}
	switch {
	case transport == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s://%s/… would send its secret, and what is told, in the clear: http is for loopback only", scheme, u.Host)
	case transport != "http" && transport != "https":
		return nil, fmt.Errorf("%s://… is no address to notify: https://, slack+https:// and pagerduty+https:// are", scheme)
	}
	u.Fragment = ""
	to := target{name: scheme + "://" + u.Host, url: u}
	switch form {
	case "":
		return plain{to}, nil
	case "slack":
		if strings.Trim(u.Path, "/") == "" {
			return nil, fmt.Errorf("%s has no path; an incoming webhook of Slack is slack+https://hooks.slack.com/services/T…/B…/…", to.name)
		}
		return slack{to}, nil
	case "pagerduty":
		return newPagerDuty(to)
	}
	return nil, fmt.Errorf("%s+%s://… is no form that is known: slack and pagerduty are, and nothing for plain JSON", form, transport)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type target struct {
	name string
	url  *url.URL
}

func (t target) Name() string    { return t.name }
func (t target) address() string { return t.url.String() }

// plain gets the events of one round in one document.
type plain struct{ target }

func (plain) wants(Event) bool { return true }
func (plain) most() int        { return 100 }

// formatVersion is of the plain document. A new key does not change it.
const formatVersion = "1.0"

func (plain) body(batch []*Event) ([]byte, error) {
	return json.Marshal(struct {
		FormatVersion string   `json:"format_version"`
		Stack         string   `json:"stack"`
		Spec          string   `json:"spec"`
		Account       string   `json:"account"`
		Region        string   `json:"region"`
		Events        []*Event `json:"events"`
	}{formatVersion, batch[0].Stack, batch[0].Spec, batch[0].Account, batch[0].Region, batch})
}

// slack gets one message of text for the events of one round, by an incoming
// webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
type slack struct{ target }

// People need not be told that what they have heard nothing of is well.
func (slack) wants(e Event) bool { return !e.First || e.State != watch.IsWellAgain }
func (slack) most() int          { return 50 }

// What a message to Slack holds: less than the 4,000 characters that Slack
// advises, and of each resource so many lines of its difference.
const (
	mostSlack      = 3500
	mostSlackLines = 5
)

func (slack) body(batch []*Event) ([]byte, error) {
	// https://docs.slack.dev/messaging/formatting-message-text: these three are
	// escaped, and then nothing in a text is a link or a mention.
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	var b strings.Builder
	fmt.Fprintf(&b, "*%s*", escape.Replace(batch[0].Stack))
	if at := batch[0]; at.Account != "" {
		fmt.Fprintf(&b, " (account %s, %s)", at.Account, escape.Replace(at.Region))
	}
	for i, e := range batch {
		text := "\n" + map[watch.ChangeKind]string{
			watch.HasDrifted: ":warning:", watch.WasCorrected: ":wrench:", watch.CannotBeMended: ":rotating_light:", watch.IsWellAgain: ":white_check_mark:",
		}[e.State] + " " + escape.Replace(e.what())
		lines := e.Lines
		if len(lines) > mostSlackLines {
			lines = append(lines[:mostSlackLines:mostSlackLines], "…")
		}
		lines = slices.Concat(lines, strings.Split(e.Error, "\n"), e.Notes)
		for _, line := range lines {
			if line != "" {
				text += "\n> " + quote(escape.Replace(line))
			}
		}
		if b.Len()+len(text) > mostSlack {
			fmt.Fprintf(&b, "\n… and %d more; `churn-reconcile --dry-run` shows them all", len(batch)-i)
			break
		}
		b.WriteString(text)
	}
	return json.Marshal(struct {
		Text string `json:"text"`
	}{b.String()})
}

// quote shows text as it is: between backticks Slack reads no marks.
func quote(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }

// pagerDuty gets an event each, by the Events API v2:
// https://developer.pagerduty.com/docs/send-alert-event.
type pagerDuty struct {
	target
	routingKey string
}

func newPagerDuty(to target) (Receiver, error) {
	u := to.url
	query := u.Query()
	p := pagerDuty{target: to, routingKey: query.Get("routing_key")}
	if p.routingKey == "" {
		p.routingKey = u.User.Username()
	}
	if p.routingKey == "" {
		return nil, fmt.Errorf("%s has no integration key; it goes in front of the host, as in pagerduty+https://KEY@events.pagerduty.com, or into ?routing_key=KEY", to.name)
	}
	query.Del("routing_key")
	u.User, u.RawQuery = nil, query.Encode()
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v2/enqueue"
	}
	return p, nil
}

// What is well when a process begins to look closes an incident that the
// process before may have opened. PagerDuty drops it where there is none.
func (pagerDuty) wants(Event) bool { return true }
func (pagerDuty) most() int        { return 1 }

func (p pagerDuty) body(batch []*Event) ([]byte, error) {
	e := batch[0]
	event := pagerDutyEvent{RoutingKey: p.routingKey, DedupKey: e.Key, Client: "churn-reconcile", Action: "resolve"}
	if e.State == watch.HasDrifted || e.State == watch.CannotBeMended {
		event.Action = "trigger"
		severity := "warning"
		if e.State == watch.CannotBeMended {
			severity = "error"
		}
		event.Payload = &pagerDutyPayload{
			Summary: clip(e.Stack+": "+e.what(), 1024), Source: e.Stack, Severity: severity,
			Timestamp: e.At.Format(time.RFC3339), Component: e.Address, Group: e.Stack, Class: string(e.State),
			Details: map[string]any{"account": e.Account, "region": e.Region, "spec": e.Spec, "since": e.Since, "lines": e.Lines, "error": e.Error},
		}
	}
	return json.Marshal(event)
}

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"` // at most 255 characters
	Client     string            `json:"client,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"` // of a trigger only
}

type pagerDutyPayload struct {
	Summary   string         `json:"summary"` // at most 1,024 characters
	Source    string         `json:"source"`
	Severity  string         `json:"severity"` // critical, error, warning or info
	Timestamp string         `json:"timestamp"`
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Class     string         `json:"class,omitempty"`
	Details   map[string]any `json:"custom_details,omitempty"`
}
