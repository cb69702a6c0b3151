package spec

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	defaultRetireAfter = 24 * time.Hour
	minRotateAfter     = time.Hour

	maxSecretName      = 512 // of Secrets Manager
	maxEnvironmentName = 255 // of GitHub
)

var (
	secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]+$`)

	githubOwner      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,39}$`)
	githubRepository = regexp.MustCompile(`^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9_.-]{1,100}$`)
	githubSecret     = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

func (b *binder) checkAccessKey(n *node, key *IAMAccessKey) {
	b.checkRotation(n, key)
	deliver := n.get("deliver")
	if key.Deliver != nil && len(key.Deliver) == 0 {
		b.errorf(deliver, "accessKey: deliver is empty, so the secret could not be kept: AWS tells it only once")
	}
	for i, sink := range key.Deliver {
		at := deliver.item(i)
		switch {
		case at.kind != mapping:
		case len(at.fields) > 1:
			b.errorf(at, "deliver: one sink an item; start another with \"- \"")
		case len(at.fields) == 0 || at.fields[0].value.isNull():
			b.errorf(at, "deliver: an empty sink; there are file, github and secretsManager")
		case sink.File != nil:
			b.checkFileSink(at.get("file"), sink.File)
		case sink.GitHub != nil:
			b.checkGitHubSink(at.get("github"), sink.GitHub)
		case sink.SecretsManager != nil:
			b.checkSecretsManagerSink(at.get("secretsManager"), sink.SecretsManager)
		}
	}
}

// checkRotation fills in retireAfter also where there is no rotateAfter, since
// a key can be rotated by command.
func (b *binder) checkRotation(n *node, key *IAMAccessKey) {
	wait := "24h, its default"
	switch retire := n.field("retireAfter"); {
	case !b.given(n, "retireAfter"):
		key.RetireAfter = defaultRetireAfter
	case !retire.readable():
		return
	case key.RetireAfter == 0:
		b.errorf(retire, "retireAfter: %s is no time; those who use a succeeded key need some to change over", retire.text)
		return
	default:
		wait = retire.text
	}
	rotate := n.field("rotateAfter")
	switch {
	case !rotate.readable():
	case key.RotateAfter < minRotateAfter:
		b.errorf(rotate, "rotateAfter: %s is too short; at least 1h", rotate.text)
	case key.RotateAfter-key.RetireAfter <= key.RetireAfter:
		b.errorf(rotate, "rotateAfter: %s has to be more than twice retireAfter (%s): a succeeded key takes that long to go, and AWS allows a user only two keys", rotate.text, wait)
	}
}

func (b *binder) checkFileSink(n *node, sink *FileSink) {
	if sink.Path == "" {
		b.emptyName(n.get("path"), "path")
	}
	if sink.Format == "env" && sink.Profile != "" {
		b.errorf(n.get("profile"), "file: a file of format env has no profiles")
	}
}

func (b *binder) checkGitHubSink(n *node, sink *GitHubSink) {
	switch repository, organization := b.given(n, "repository"), b.given(n, "organization"); {
	case repository && organization:
		b.errorf(n.key("organization"), "github: give repository or organization, not both")
	case !repository && !organization:
		b.errorf(n, "github: repository or organization is missing")
	}
	if at := n.field("repository"); at.readable() && !isRepository(sink.Repository) {
		b.errorf(at, "github: %s is no repository; one looks like owner/name", at.what())
	}
	if at := n.field("organization"); at.readable() && !githubOwner.MatchString(sink.Organization) {
		b.errorf(at, "github: %s is no organization; allowed are up to 39 letters, digits and hyphens", at.what())
	}
	if at := n.field("environment"); at.readable() {
		if b.given(n, "organization") {
			b.errorf(n.key("environment"), "github: an environment is one of a repository; an organization has none")
		}
		b.checkEnvironment(at, sink.Environment)
	}
	sink.KeyIDSecret = b.githubSecret(n.field("keyIdSecret"), sink.KeyIDSecret, "AWS_ACCESS_KEY_ID")
	sink.SecretKeySecret = b.githubSecret(n.field("secretKeySecret"), sink.SecretKeySecret, "AWS_SECRET_ACCESS_KEY")
	if sink.KeyIDSecret != "" && sink.KeyIDSecret == sink.SecretKeySecret {
		b.errorf(n.get("secretKeySecret"), "github: both halves of the key would go into the secret %s", sink.SecretKeySecret)
	}
}

func isRepository(name string) bool {
	return githubRepository.MatchString(name) && !strings.HasSuffix(name, "/.") && !strings.HasSuffix(name, "/..")
}

func (b *binder) checkEnvironment(n *node, name string) {
	if name == "" {
		b.emptyName(n, "environment")
	}
	if size := utf8.RuneCountInString(name); size > maxEnvironmentName {
		b.errorf(n, "github: an environment's name has at most %d characters, this one has %d", maxEnvironmentName, size)
	}
}

// githubSecret is a secret's name as GitHub keeps it,
// https://docs.github.com/en/actions/reference/security/secrets#naming-your-secrets
func (b *binder) githubSecret(n *node, name, otherwise string) string {
	if n == nil || n.isNull() {
		return otherwise
	}
	name = strings.ToUpper(name)
	switch {
	case !n.readable():
	case !githubSecret.MatchString(name):
		b.errorf(n, "github: %s is no name of a secret; allowed are letters, digits and _, and no digit first", n.what())
	case strings.HasPrefix(name, "GITHUB_"):
		b.errorf(n, "github: %s: names that begin with GITHUB_ are GitHub's own", n.what())
	}
	return name
}

func (b *binder) checkSecretsManagerSink(n *node, sink *SecretsManagerSink) {
	at := n.get("name")
	switch {
	case sink.Name == "":
		b.emptyName(at, "name")
	case len(sink.Name) > maxSecretName:
		b.errorf(at, "secretsManager: a name has at most %d characters, this one has %d", maxSecretName, len(sink.Name))
	case !secretName.MatchString(sink.Name):
		b.errorf(at, "secretsManager: %q: a name has letters, digits and / _ + = . @ -", clip(sink.Name))
	}
	b.checkKMSKey(n.get("kmsKeyId"), "kmsKeyId", sink.KMSKeyID)
}

// A place holds one key: a profile of a file, a secret.
type place struct{ where, what string }

// places lists what a sink fills; user names the profile of a file that names
// none.
func (s Sink) places(user string) []place {
	switch {
	case s.File != nil && s.File.Path != "" && s.File.Format == "env":
		return []place{{filepath.Clean(s.File.Path), "the variables"}}
	case s.File != nil && s.File.Path != "":
		profile := s.File.Profile
		if profile == "" {
			profile = user
		}
		return []place{{filepath.Clean(s.File.Path), fmt.Sprintf("the profile %q", profile)}}
	case s.GitHub != nil && (s.GitHub.Repository != "" || s.GitHub.Organization != ""):
		// GitHub takes no notice of case.
		where := "GitHub " + strings.ToLower(s.GitHub.Repository+s.GitHub.Organization)
		if s.GitHub.Environment != "" {
			where += " (environment " + strings.ToLower(s.GitHub.Environment) + ")"
		}
		id, secret := place{where, "the secret " + s.GitHub.KeyIDSecret}, place{where, "the secret " + s.GitHub.SecretKeySecret}
		if id == secret {
			return []place{id} // reported already
		}
		return []place{id, secret}
	case s.SecretsManager != nil && s.SecretsManager.Name != "":
		return []place{{"Secrets Manager", "the secret " + s.SecretsManager.Name}}
	}
	return nil
}

// checkSinks refuses two keys in one place.
func (b *binder) checkSinks(users []IAMUser) {
	taken := make(map[place]string)
	formats := make(map[string]string) // of files
	i := -1
	for _, r := range b.resources {
		if r.id.Kind != User {
			continue
		}
		i++
		key := users[i].AccessKey
		if key == nil {
			continue
		}
		for j, sink := range key.Deliver {
			at := r.node.get("accessKey", "deliver").item(j)
			if sink.File != nil && sink.File.Path != "" {
				at = at.get("file", "path")
				format := "credentials"
				if sink.File.Format != "" {
					format = sink.File.Format
				}
				path := filepath.Clean(sink.File.Path)
				if other, ok := formats[path]; ok && other != format {
					b.errorf(at, "deliver: %s is a file of format %s already", path, other)
					continue
				}
				formats[path] = format
			}
			for _, p := range sink.places(users[i].Name) {
				if other, ok := taken[p]; ok {
					b.errorf(at, "deliver: %s already holds %s, of iam.user/%s", p.where, p.what, other)
					break
				}
				taken[p] = users[i].Name
			}
		}
	}
}
