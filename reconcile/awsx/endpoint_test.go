package awsx_test

import (
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

func TestIsAWS(t *testing.T) {
	t.Parallel()
	if !awsx.IsAWS(nil) {
		t.Error("the SDK's own endpoint is not AWS's")
	}
	for url, want := range map[string]bool{
		"https://iam.amazonaws.com":                                true,
		"https://iam.us-gov.amazonaws.com":                         true,
		"https://iam.cn-north-1.amazonaws.com.cn":                  true,
		"https://vpce-0a1b-c2d3.iam.us-east-1.vpce.amazonaws.com/": true,
		"https://IAM.global.api.aws:443":                           true,
		"http://127.0.0.1:4566":                                    false,
		"http://localhost.localstack.cloud:4566":                   false,
		"https://amazonaws.com.example.com":                        false,
		"https://iamamazonaws.com":                                 false,
		"https://example.com/iam.amazonaws.com":                    false,
		"https://iam.amazonaws.com@example.com":                    false,
		"":                                                         false,
		"://":                                                      false,
	} {
		if got := awsx.IsAWS(&url); got != want {
			t.Errorf("%s: %t, want %t", url, got, want)
		}
	}
}
