package awsx

import (
	"net/url"
	"slices"
	"strings"
)

// awsDomains are where AWS answers, VPC endpoints and all partitions included,
// https://docs.aws.amazon.com/general/latest/gr/rande.html
var awsDomains = []string{
	"amazonaws.com", "api.aws",
	"amazonaws.com.cn", "api.amazonwebservices.com.cn",
	"amazonaws.eu", "api.amazonwebservices.eu",
	"c2s.ic.gov", "sc2s.sgov.gov", "cloud.adc-e.uk", "csp.hci.ic.gov",
}

// IsAWS says whether an endpoint is AWS itself; nil is the SDK's own choice.
func IsAWS(endpoint *string) bool {
	if endpoint == nil {
		return true
	}
	u, err := url.Parse(*endpoint)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(awsDomains, func(domain string) bool { return strings.HasSuffix(host, "."+domain) })
}
