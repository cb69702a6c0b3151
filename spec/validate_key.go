package spec

import (
	"cmp"
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

func (c checker) checkAccessKey(n *node, key *IAMAccessKey) {
	c.checkRotation(n, key)
	deliver := n.get("deliver")
	if key.Deliver != nil && len(key.Deliver) == 0 {
		c.errorf(deliver, "accessKey: deliver is empty, so the secret could not be kept: AWS tells it only once")
	}
	for i, sink := range key.Deliver {
		at := deliver.item(i)
		switch {
		case at.kind != mapping:
		case len(at.fields) > 1:
			c.errorf(at, "deliver: one sink an item; start another with \"- \"")
		case len(at.fields) == 0 || at.fields[0].value.isNull():
			c.errorf(at, "deliver: an empty sink; there are file, github and secretsManager")
		case sink.File != nil:
			c.checkFileSink(at.get("file"), sink.File)
		case sink.GitHub != nil:
			c.checkGitHubSink(at.get("github"), sink.GitHub)
		case sink.SecretsManager != nil:
			c.checkSecretsManagerSink(at.get("secretsManager"), sink.SecretsManager)
		}
	}
}

// checkRotation fills in retireAfter also where there is no rotateAfter, since
// a key can be rotated by command.
func (c checker) checkRotation(n *node, key *IAMAccessKey) {
	wait := "24h, its default"
	switch retire := n.field("retireAfter"); {
	case !n.has("retireAfter"):
		key.RetireAfter = defaultRetireAfter
	case !retire.readable():
		return
	case key.RetireAfter == 0:
		c.errorf(retire, "retireAfter: %s is no time; those who use a succeeded key need some to change over", retire.text)
		return
	default:
		wait = retire.text
	}
	rotate := n.field("rotateAfter")
	switch {
	case !rotate.readable():
	case key.RotateAfter < minRotateAfter:
		c.errorf(rotate, "rotateAfter: %s is too short; at least 1h", rotate.text)
	case key.RotateAfter-key.RetireAfter <= key.RetireAfter:
		c.errorf(rotate, "rotateAfter: %s has to be more than twice retireAfter (%s): a succeeded key takes that long to go, and AWS allows a user only two keys", rotate.text, wait)
	}
}

func (c checker) checkFileSink(n *node, sink *FileSink) {
	if sink.Path == "" {
		c.emptyName(n.get("path"), "path")
	}
	if sink.Format == "env" && sink.Profile != "" {
		c.errorf(n.get("profile"), "file: a file of format env has no profiles")
	}
}

func (c checker) checkGitHubSink(n *node, sink *GitHubSink) {
	switch repository, organization := n.has("repository"), n.has("organization"); {
	case repository && organization:
		c.errorf(n.key("organization"), "github: give repository or organization, not both")
	case !repository && !organization:
		c.errorf(n, "github: repository or organization is missing")
	}
	if at := n.field("repository"); at.readable() && !isRepository(sink.Repository) {
		c.errorf(at, "github: %s is no repository; one looks like owner/name", at.what())
	}
	if at := n.field("organization"); at.readable() && !githubOwner.MatchString(sink.Organization) {
		c.errorf(at, "github: %s is no organization; allowed are up to 39 letters, digits and hyphens", at.what())
	}
	if at := n.field("environment"); at.readable() {
		if n.has("organization") {
			c.errorf(n.key("environment"), "github: an environment is one of a repository; an organization has none")
		}
		c.checkEnvironment(at, sink.Environment)
	}
	sink.KeyIDSecret = c.githubSecret(n.field("keyIdSecret"), sink.KeyIDSecret, "AWS_ACCESS_KEY_ID")
	sink.SecretKeySecret = c.githubSecret(n.field("secretKeySecret"), sink.SecretKeySecret, "AWS_SECRET_ACCESS_KEY")
	if sink.KeyIDSecret != "" && sink.KeyIDSecret == sink.SecretKeySecret {
		c.errorf(n.get("secretKeySecret"), "github: both halves of the key would go into the secret %s", sink.SecretKeySecret)
	}
}

func isRepository(name string) bool {
	return githubRepository.MatchString(name) && !strings.HasSuffix(name, "/.") && !strings.HasSuffix(name, "/..")
}

func (c checker) checkEnvironment(n *node, name string) {
	if name == "" {
		c.emptyName(n, "environment")
	}
	if size := utf8.RuneCountInString(name); size > maxEnvironmentName {
		c.errorf(n, "github: an environment's name has at most %d characters, this one has %d", maxEnvironmentName, size)
	}
}

// githubSecret is a secret's name as GitHub keeps it,
// https://docs.github.com/en/actions/reference/security/secrets#naming-your-secrets
func (c checker) githubSecret(n *node, name, otherwise string) string {
	if n == nil || n.isNull() {
		return otherwise
	}
	name = strings.ToUpper(name)
	switch {
	case !n.readable():
	case !githubSecret.MatchString(name):
		c.errorf(n, "github: %s is no name of a secret; allowed are letters, digits and _, and no digit first", n.what())
	case strings.HasPrefix(name, "GITHUB_"):
		c.errorf(n, "github: %s: names that begin with GITHUB_ are GitHub's own", n.what())
	}
	return name
}

func (c checker) checkSecretsManagerSink(n *node, sink *SecretsManagerSink) {
	at := n.get("name")
	switch {
	case sink.Name == "":
		c.emptyName(at, "name")
	case len(sink.Name) > maxSecretName:
		c.errorf(at, "secretsManager: a name has at most %d characters, this one has %d", maxSecretName, len(sink.Name))
	case !secretName.MatchString(sink.Name):
		c.errorf(at, "secretsManager: %q: a name has letters, digits and / _ + = . @ -", clip(sink.Name))
	}
	c.checkKMSKey(n.get("kmsKeyId"), "kmsKeyId", sink.KMSKeyID)
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
func checkSinks(x *index, found *findings) {
	taken := make(map[place]string)
	formats := make(map[string]string) // of files
	for _, e := range x.of(User) {
		user, ok := e.resource.(*IAMUser)
		if !ok || user.AccessKey == nil {
			continue
		}
		for j, sink := range user.AccessKey.Deliver {
			at := e.node.get("accessKey", "deliver").item(j)
			if sink.File != nil && sink.File.Path != "" {
				at = at.get("file", "path")
				format := cmp.Or(sink.File.Format, "credentials")
				path := filepath.Clean(sink.File.Path)
				if other, ok := formats[path]; ok && other != format {
					found.errorf(at, "deliver: %s is a file of format %s already", path, other)
					continue
				}
				formats[path] = format
			}
			for _, p := range sink.places(user.Name) {
				if other, ok := taken[p]; ok {
					found.errorf(at, "deliver: %s already holds %s, of iam.user/%s", p.where, p.what, other)
					break
				}
				taken[p] = user.Name
			}
		}
	}
}
