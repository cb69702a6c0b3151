package spec

import "strings"

// A partition is a part of AWS with accounts of its own.
type partition struct {
	id     string
	prefix string // of its regions
	suffix string // of its hosts' names
}

// partitions lists those whose regions tell them by their prefix; any other
// region is in the first.
func partitions() []partition {
	return []partition{
		{"aws", "", "amazonaws.com"},
		{"aws-cn", "cn-", "amazonaws.com.cn"},
		{"aws-us-gov", "us-gov-", "amazonaws.com"},
		{"aws-eusc", "eusc-", "amazonaws.eu"},
		{"aws-iso", "us-iso-", "c2s.ic.gov"},
		{"aws-iso-b", "us-isob-", "sc2s.sgov.gov"},
		{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk"},
		{"aws-iso-f", "us-isof-", "csp.hci.ic.gov"},
	}
}

// partitionOf is the partition that a region is in.
func partitionOf(region string) partition {
	all := partitions()
	for _, p := range all[1:] {
		if strings.HasPrefix(region, p.prefix) {
			return p
		}
	}
	return all[0]
}

// dnsSuffix is what the names of hosts in a partition end in.
func dnsSuffix(id string) string {
	for _, p := range partitions() {
		if p.id == id {
			return p.suffix
		}
	}
	return partitions()[0].suffix
}
