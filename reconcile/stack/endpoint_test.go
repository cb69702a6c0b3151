package stack_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// endpointVar names an endpoint to run the tests against in the sandbox's
// place, one of the emulators below.
const endpointVar = "CHURN_TEST_ENDPOINT"

// emulators are the endpoints that other people wrote, told apart by the path
// that clears them.
var emulators = []struct{ name, reset string }{
	{"moto", "/moto-api/reset"},
	{"ministack", "/_ministack/reset"},
}

// differences are what the emulators do otherwise than AWS. The tests of a row
// are skipped there, those under it included. AWS's documentation, the last
// column, is the judge; the sandbox follows it, so that no row is the sandbox's.
var differences = []struct {
	emulator string
	test     string
	does     string
	aws      string // below docs.aws.amazon.com
}{
	{"moto", "TestExportExamples/github-oidc.yaml", "it fills in no thumbprint", "IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html"},
	{"moto", "TestFields/log_group_key_set", "AssociateKmsKey is missing", "AmazonCloudWatchLogs/latest/APIReference/API_AssociateKmsKey.html"},
	{"moto", "TestFields/log_group_key_taken_away", "DisassociateKmsKey is missing", "AmazonCloudWatchLogs/latest/APIReference/API_DisassociateKmsKey.html"},
	{"moto", "TestFields/repository_scanning", "the SDK leaves a false scanOnPush out, which moto takes for no change", "AmazonECR/latest/APIReference/API_PutImageScanningConfiguration.html"},
	{"moto", "TestFields/user_boundary_taken_away,_and_an_inline_policy", "it drops a user's boundary", "IAM/latest/APIReference/API_PutUserPermissionsBoundary.html"},
	{"moto", "TestFields/bucket_encryption_that_is_blocked", "it drops blockedEncryptionTypes", "AmazonS3/latest/API/API_BlockedEncryptionTypes.html"},
	{"moto", "TestFields/bucket_encryption_of_which_none_is_blocked", "it drops blockedEncryptionTypes", "AmazonS3/latest/API/API_BlockedEncryptionTypes.html"},
	{"moto", "TestFields/log_group_protected", "PutLogGroupDeletionProtection is missing", "AmazonCloudWatchLogs/latest/APIReference/API_PutLogGroupDeletionProtection.html"},
	{"moto", "TestFields/log_group_not_protected", "PutLogGroupDeletionProtection is missing", "AmazonCloudWatchLogs/latest/APIReference/API_PutLogGroupDeletionProtection.html"},
	{"moto", "TestFields/log_group's_protection_left_out", "PutLogGroupDeletionProtection is missing", "AmazonCloudWatchLogs/latest/APIReference/API_PutLogGroupDeletionProtection.html"},
	{"moto", "TestFields/task_definition_with_a_proxy,_faults_and_shared_processes", "it drops enableFaultInjection", "AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html"},
	{"moto", "TestFields/task_definition_with_proxy_and_faults_taken_away", "it drops enableFaultInjection", "AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html"},
	{"moto", "TestGroupInOtherCase", "it takes names that differ in case only for two groups", "IAM/latest/APIReference/API_CreateGroup.html"},
	{"moto", "TestImmutableFields/log_group_class", "it drops logGroupClass", "AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html"},
	{"moto", "TestImmutableFields/policy_path", "it allows a policy's name twice", "IAM/latest/APIReference/API_CreatePolicy.html"},
	{"moto", "TestExamplesFromNothing/prod.yaml", "lifecycle rules lose their NewerNoncurrentVersions and sizes", "AmazonS3/latest/API/API_NoncurrentVersionExpiration.html"},
	{"moto", "TestLargeSpec", "it does not page, and its account details lack what AWS's have", "IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html"},
	{"moto", "TestRotation", "it dates keys by the clock on the wall, so that a successor made 90 days later is due at once", "IAM/latest/APIReference/API_AccessKeyMetadata.html"},
	{"ministack", "TestExportByHand", "a task role that is not given is answered as a role without a name", "AmazonECS/latest/APIReference/API_TaskDefinition.html"},
	{"ministack", "TestExportExamples/github-oidc.yaml", "it fills in no thumbprint", "IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html"},
	{"ministack", "TestFields/an_image_that_somebody_else_sets_is_left_as_it_is", "a task role that is not given is answered as a role without a name", "AmazonECS/latest/APIReference/API_TaskDefinition.html"},
	{"ministack", "TestFields/task_definition_placed_anywhere", "a task role that is not given is answered as a role without a name", "AmazonECS/latest/APIReference/API_TaskDefinition.html"},
	{"ministack", "TestFields/task_definition_placed_on_some_instances", "a task role that is not given is answered as a role without a name", "AmazonECS/latest/APIReference/API_TaskDefinition.html"},
	{"ministack", "TestFields/task_definition_volumes,_storage_and_platform", "a task role that is not given is answered as a role without a name", "AmazonECS/latest/APIReference/API_TaskDefinition.html"},
	{"ministack", "TestFields/the_twin_of_it:_the_image_is_the_spec's", "a task role that is not given is answered as a role without a name", "AmazonECS/latest/APIReference/API_TaskDefinition.html"},
	{"ministack", "TestFields/log_group_key_set", "AssociateKmsKey is missing", "AmazonCloudWatchLogs/latest/APIReference/API_AssociateKmsKey.html"},
	{"ministack", "TestFields/log_group_key_taken_away", "DisassociateKmsKey is missing", "AmazonCloudWatchLogs/latest/APIReference/API_DisassociateKmsKey.html"},
	{"ministack", "TestFields/log_group_protected", "PutLogGroupDeletionProtection is missing", "AmazonCloudWatchLogs/latest/APIReference/API_PutLogGroupDeletionProtection.html"},
	{"ministack", "TestFields/log_group_not_protected", "PutLogGroupDeletionProtection is missing", "AmazonCloudWatchLogs/latest/APIReference/API_PutLogGroupDeletionProtection.html"},
	{"ministack", "TestFields/log_group's_protection_left_out", "PutLogGroupDeletionProtection is missing", "AmazonCloudWatchLogs/latest/APIReference/API_PutLogGroupDeletionProtection.html"},
	{"ministack", "TestFields/repository_with_exclusions", "it drops imageTagMutabilityExclusionFilters", "AmazonECR/latest/APIReference/API_PutImageTagMutability.html"},
	{"ministack", "TestFields/the_twin_of_it:_the_same_exclusions_in_another_order", "it drops imageTagMutabilityExclusionFilters", "AmazonECR/latest/APIReference/API_PutImageTagMutability.html"},
	{"ministack", "TestFields/repository_without_exclusions_any_more", "it drops imageTagMutabilityExclusionFilters", "AmazonECR/latest/APIReference/API_PutImageTagMutability.html"},
	{"ministack", "TestFields/task_definition_with_a_proxy,_faults_and_shared_processes", "it drops enableFaultInjection", "AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html"},
	{"ministack", "TestFields/task_definition_with_proxy_and_faults_taken_away", "it drops enableFaultInjection", "AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html"},
	{"ministack", "TestFields/role_description_and_session_duration", "UpdateRole without a session duration leaves it as it is, in place of one hour", "IAM/latest/APIReference/API_UpdateRole.html"},
	{"ministack", "TestGroupInOtherCase", "it takes names that differ in case only for two groups", "IAM/latest/APIReference/API_CreateGroup.html"},
	{"ministack", "TestImmutableFields/policy_path", "it allows a policy's name twice", "IAM/latest/APIReference/API_CreatePolicy.html"},
	{"ministack", "TestMendChanges/policy_document_changed", "SetDefaultPolicyVersion is missing", "IAM/latest/APIReference/API_SetDefaultPolicyVersion.html"},
	{"ministack", "TestMendChanges/task_definition_with_another_revision,_every_field_changed", "a task role that is not given is answered as a role without a name", "AmazonECS/latest/APIReference/API_TaskDefinition.html"},
	{"ministack", "TestPolicyVersions", "SetDefaultPolicyVersion is missing", "IAM/latest/APIReference/API_SetDefaultPolicyVersion.html"},
	{"ministack", "TestRotation", "it dates keys by the clock on the wall, so that a successor made 90 days later is due at once", "IAM/latest/APIReference/API_AccessKeyMetadata.html"},
}

// differs skips a test in which the emulator that is asked is no judge.
func differs(t testing.TB, emulator string) {
	t.Helper()
	for i, d := range differences {
		if d.emulator != emulator {
			continue
		}
		if rest, ok := strings.CutPrefix(t.Name(), d.test); ok && (rest == "" || rest[0] == '/') {
			met.Store(i, true)
			t.Skipf("%s: %s; AWS: https://docs.aws.amazon.com/%s", d.emulator, d.does, d.aws)
		}
	}
}

// met holds the rows of differences that a test came to, and the emulator.
var met sync.Map

// emptied clears the endpoint and says which of the emulators it is.
func emptied(t testing.TB, address string) string {
	t.Helper()
	for _, e := range emulators {
		res, err := http.Post(address+e.reset, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			met.Store(e.name, true)
			return e.name
		}
	}
	t.Fatalf("%s is %s, which is no emulator that the tests know", endpointVar, address)
	return ""
}

// staleDifferences tells on standard error of rows that name no test, where all
// tests have run against the row's emulator.
func staleDifferences() (stale bool) {
	asked := ""
	met.Range(func(key, _ any) bool {
		if name, ok := key.(string); ok {
			asked = name
		}
		return true
	})
	if flag.Lookup("test.run").Value.String() != "" {
		return false
	}
	for i, d := range differences {
		if _, ok := met.Load(i); !ok && d.emulator == asked {
			stale = true
			fmt.Fprintf(os.Stderr, "differences has a row for %s, which no test is\n", d.test)
		}
	}
	return stale
}
