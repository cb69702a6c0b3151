// Package cloudtrail asks CloudTrail who has changed what.
package cloudtrail

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// API is what a trail needs of CloudTrail.
type API interface {
	LookupEvents(context.Context, *cloudtrail.LookupEventsInput, ...func(*cloudtrail.Options)) (*cloudtrail.LookupEventsOutput, error)
}

var _ API = (*cloudtrail.Client)(nil)

const (
	// between is the time from one call to the next: CloudTrail lets two
	// LookupEvents a second through, per account and region, whoever asks.
	between = time.Second / 2

	// kept is how long CloudTrail's event history reaches back.
	kept = 90 * 24 * time.Hour

	// pages bounds how far back one resource is followed through reads and
	// refused calls, 50 events a page.
	pages = 3
)

// A Trail answers from CloudTrail's event history of the last 90 days. It may
// be used from several goroutines at once.
type Trail struct {
	API    API
	Global string // the region that IAM's events are in
	Env    reconcile.Env

	mu   sync.Mutex
	next time.Time // the first turn that is not given away
}

var _ reconcile.Trail = (*Trail)(nil)

// Last is the newest change of a resource by anybody but the product. Where the
// product's own is the newest, what came before it is not what has drifted
// since, and nobody is named. An event may take a quarter of an hour to arrive.
func (t *Trail) Last(ctx context.Context, id spec.ID) (reconcile.Event, error) {
	// Some services' events name what they are about, and some its ARN.
	names := []string{id.Name}
	if arn := *t.Env.ARN(id, ""); arn != "" {
		names = append(names, arn)
	}
	var newest event
	for _, name := range names {
		e, err := t.newest(ctx, id.Kind, name)
		if err != nil {
			return reconcile.Event{}, err
		}
		if e.Time.After(newest.Time) {
			newest = e
		}
	}
	if newest.own {
		return reconcile.Event{}, nil
	}
	return newest.Event, nil
}

// newest is the newest event that has changed what is called name.
func (t *Trail) newest(ctx context.Context, kind spec.Kind, name string) (event, error) {
	service, _, _ := strings.Cut(string(kind), ".")
	in := &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyResourceName, AttributeValue: &name}},
		StartTime:        aws.Time(t.Env.Now().Add(-kept)),
		MaxResults:       aws.Int32(50),
	}
	for range pages {
		if err := t.turn(ctx); err != nil {
			return event{}, err
		}
		out, err := t.API.LookupEvents(ctx, in, func(o *cloudtrail.Options) {
			if service == "iam" {
				o.Region = t.Global
			}
		})
		if err != nil {
			return event{}, err
		}
		for _, e := range out.Events {
			if aws.ToString(e.EventSource) != service+".amazonaws.com" || aws.ToString(e.ReadOnly) == "true" {
				continue
			}
			if event, took := read(service, e); took {
				return event, nil
			}
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	return event{}, nil
}

// turn waits until the next call may be made.
func (t *Trail) turn(ctx context.Context) error {
	t.mu.Lock()
	now := t.Env.Now()
	turn := t.next
	if turn.Before(now) {
		turn = now
	}
	t.next = turn.Add(between)
	t.mu.Unlock()
	if wait := turn.Sub(now); wait > 0 {
		return t.Env.Pause(ctx, wait)
	}
	return ctx.Err()
}

// An event is one of CloudTrail's, as far as it matters here.
type event struct {
	reconcile.Event
	own bool // the product has made the call
}

// read reads an event; false where it has changed nothing.
func read(service string, e types.Event) (event, bool) {
	var detail struct {
		ErrorCode       string
		SourceIPAddress string
		UserAgent       string
		UserIdentity    struct{ Arn, InvokedBy string }
	}
	// What cannot be read has at least a name and a time.
	_ = json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &detail)
	if detail.ErrorCode != "" {
		return event{}, false
	}
	principal := detail.UserIdentity.Arn
	for _, other := range []string{aws.ToString(e.Username), detail.UserIdentity.InvokedBy} {
		if principal == "" {
			principal = other
		}
	}
	return event{reconcile.Event{
		Principal: principal, Call: service + ":" + aws.ToString(e.EventName), Time: aws.ToTime(e.EventTime).UTC(), Source: detail.SourceIPAddress,
	}, strings.Contains(detail.UserAgent, awsx.UserAgent)}, true
}
