package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// specFlags say which spec, and with which variables.
type specFlags struct {
	file  string // as resolve has found it
	files []string
	vars  []string
}

// defaultSpec is the spec where none is named.
const defaultSpec = "churn-reconcile.yaml"

func defaultSpecExists() bool {
	info, err := os.Stat(defaultSpec)
	return err == nil && !info.IsDir()
}

func (f *specFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.files, "file", "f", nil, "the spec's `PATH`, "+defaultSpec+" without; - is standard input")
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "set a variable, as `NAME=VALUE`; repeatable")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
}

// paths are the specs that are meant, sorted, each once: of a folder its *.yaml,
// of a glob what it matches. shard keeps every Nth of them.
func (f *specFlags) paths(shard string) ([]string, error) {
	if !f.several(shard) {
		if err := f.resolve(); err != nil {
			return nil, err
		}
		return []string{f.file}, nil
	}
	var all []string
	for _, name := range f.files {
		found, err := specsOf(name)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if shard == "" {
		return all, nil
	}
	k, n, err := parseShard(shard, os.Getenv("JOB_COMPLETION_INDEX"))
	if err != nil {
		return nil, err
	}
	var kept []string
	for i := k; i < len(all); i += n {
		kept = append(kept, all[i])
	}
	return kept, nil
}

// several says whether the flags may name more than one spec.
func (f *specFlags) several(shard string) bool {
	return shard != "" || len(f.files) > 1 || len(f.files) == 1 && (isFolder(f.files[0]) || isGlob(f.files[0]))
}

func specsOf(name string) ([]string, error) {
	switch {
	case name == "":
		return nil, errors.New("-f is given without a value")
	case name == "-":
		return nil, errors.New("-f -: standard input is one spec, and cannot stand beside others")
	case isFolder(name):
		found, _ := filepath.Glob(filepath.Join(globEscape(name), "*.yaml"))
		if len(found) == 0 {
			return nil, fmt.Errorf("-f %s: the folder has no *.yaml", name)
		}
		return found, nil
	case isGlob(name):
		found, err := filepath.Glob(name)
		if err != nil {
			return nil, fmt.Errorf("-f %s: %w", name, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("-f %s matches no file", name)
		}
		return found, nil
	}
	return []string{name}, nil
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// isGlob says that a name is a pattern. A file of that very name comes first.
func isGlob(name string) bool {
	_, err := os.Stat(name)
	return err != nil && strings.ContainsAny(name, "*?[")
}

// globEscape makes a folder's name match nothing but itself.
func globEscape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// parseShard reads K/N, and answers with K counted from 0. N alone leaves K to
// the index that Kubernetes gives the pods of an Indexed Job, from 0 on.
func parseShard(text, index string) (k, n int, err error) {
	first, last, both := strings.Cut(text, "/")
	if !both || first == "" {
		if !both {
			last = first
		}
		if index == "" {
			return 0, 0, fmt.Errorf("--shard %s: K/N is wanted, as in 2/10; N alone needs JOB_COMPLETION_INDEX, which is not set", text)
		}
		if k, err = strconv.Atoi(index); err != nil || k < 0 {
			return 0, 0, fmt.Errorf("JOB_COMPLETION_INDEX is %q: a number from 0 on is wanted", index)
		}
	} else if k, err = strconv.Atoi(first); err != nil {
		return 0, 0, fmt.Errorf("--shard %s: K/N is wanted, as in 2/10", text)
	} else {
		k--
	}
	if n, err = strconv.Atoi(last); err != nil || n < 1 {
		return 0, 0, fmt.Errorf("--shard %s: K/N is wanted, as in 2/10", text)
	}
	if k < 0 || k >= n {
		return 0, 0, fmt.Errorf("--shard %s: shard %d of %d is none; the first is 1", text, k+1, n)
	}
	return k, n, nil
}

// resolve finds out which one spec is meant.
func (f *specFlags) resolve() error {
	switch {
	case len(f.files) > 1:
		return fmt.Errorf("-f is given %d times (%s): this command is about one spec", len(f.files), strings.Join(f.files, ", "))
	case len(f.files) == 1 && f.files[0] == "":
		return errors.New("-f is given without a value")
	case len(f.files) == 1:
		f.file = f.files[0]
	case defaultSpecExists():
		f.file = defaultSpec
	default:
		return errors.New("no spec: name one with -f, as in -f dev.yaml")
	}
	return nil
}

// load reads the one spec that is meant and checks everything that needs no
// network.
func (f *specFlags) load(env Env) (*spec.File, error) {
	if err := f.resolve(); err != nil {
		return nil, err
	}
	return f.read(env, f.file)
}

// read reads a spec and checks everything that needs no network.
func (f *specFlags) read(env Env, path string) (*spec.File, error) {
	vars := make(map[string]string, len(f.vars))
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--var %s: NAME=VALUE is wanted", v)
		}
		vars[name] = value
	}
	file, err := spec.Load(path, spec.Options{Vars: vars, Env: env.LookupEnv, Stdin: env.Stdin})
	if err != nil {
		return nil, err
	}
	return file, file.Check()
}

// awsFlags say how to reach AWS.
type awsFlags struct {
	region, profile, endpoint string
	sandbox                   string
	allowGitHub               bool
	parallelism               int
	timeout, callTimeout      time.Duration

	called func(service, operation string, err error) // hears of each call; nil: nobody does
	given  *pflag.FlagSet
}

func (f *awsFlags) register(cmd *cobra.Command, env Env) {
	flags := cmd.Flags()
	f.given = flags
	flags.StringVar(&f.region, "region", "", "AWS `REGION`; wins over the spec's")
	flags.StringVar(&f.profile, "profile", "", "`NAME` of a profile of the AWS configuration")
	flags.StringVar(&f.endpoint, "endpoint-url", "", "send every call to this `URL`")
	flags.StringVar(&f.sandbox, "sandbox", "", "run against the embedded AWS endpoint, its state kept in `FILE`")
	flags.Lookup("sandbox").NoOptDefVal = defaultSandboxFile
	flags.BoolVar(&f.allowGitHub, "allow-github", false, "deliver keys to GitHub also from an endpoint that is not AWS's")
	flags.IntVar(&f.parallelism, "parallelism", 10, "`N` calls in flight per service")
	flags.DurationVar(&f.timeout, "timeout", 15*time.Minute, "`TIME` that the whole run may take")
	flags.DurationVar(&f.callTimeout, "call-timeout", 30*time.Second, "`TIME` that one attempt of one call may take")
	_ = cmd.RegisterFlagCompletionFunc("profile", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return profiles(env), cobra.ShellCompDirectiveNoFileComp
	})
}

func (f *awsFlags) check() error {
	// --sandbox=$STATE where STATE is unset must not end in the real account.
	for _, name := range []string{"sandbox", "endpoint-url", "profile", "region"} {
		if flag := f.given.Lookup(name); flag.Changed && flag.Value.String() == "" {
			return fmt.Errorf("--%s is given without a value", name)
		}
	}
	if f.endpoint != "" {
		if u, err := url.Parse(f.endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--endpoint-url %s: a URL is wanted, as in http://127.0.0.1:4566", f.endpoint)
		}
	}
	switch {
	case f.region != "" && !spec.IsRegion(f.region):
		return fmt.Errorf("--region %s: that is no region; one looks like eu-north-1", f.region)
	case f.parallelism < 1:
		return fmt.Errorf("--parallelism %d: at least 1 is wanted", f.parallelism)
	case f.timeout <= 0:
		return fmt.Errorf("--timeout %s: more than nothing is wanted", f.timeout)
	case f.callTimeout <= 0:
		return fmt.Errorf("--call-timeout %s: more than nothing is wanted", f.callTimeout)
	case f.sandbox != "" && f.endpoint != "":
		return errors.New("--sandbox and --endpoint-url name two endpoints; choose one")
	}
	return nil
}

// limit is ctx for no longer than a run may take.
func (f *awsFlags) limit(ctx context.Context) (context.Context, func()) {
	return context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("the run's limit of %s (--timeout) is over", f.timeout))
}

// warn says that a run in another region than the spec's is a second stack.
func (f *awsFlags) warn(w io.Writer, file *spec.File) {
	if of := file.Region(); f.region != "" && of != "" && of != f.region {
		fmt.Fprintf(w, "Warning: --region %s is not the spec's region, %s: the stack is looked for in %s, and what it lacks there is made a second time; what it has in %s stays there.\n",
			f.region, view.Printable(of), f.region, view.Printable(of))
	}
}

func (f *awsFlags) options(env Env, log *slog.Logger) awsx.Options {
	return awsx.Options{
		Region: f.region, Profile: f.profile, EndpointURL: f.endpoint,
		Parallelism: f.parallelism, CallTimeout: f.callTimeout,
		Backoff: env.Backoff, Log: log, Called: f.called,
	}
}

// logFlags say what is told on standard error beside the result.
type logFlags struct {
	quiet, verbose bool
	format         string
	color          string
}

func (f *logFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "failures and the last line only")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log each API call with its duration and request id")
	flags.StringVar(&f.format, "log-format", "text", "`FORMAT` of the log: text or json")
	flags.StringVar(&f.color, "color", "auto", "`WHEN` to colour: auto, always or never; NO_COLOR is honoured")
	completeFlag(cmd, "log-format", "text", "json")
	completeFlag(cmd, "color", "auto", "always", "never")
}

func (f *logFlags) check() error {
	if f.quiet && f.verbose {
		return errors.New("-v asks for more and -q for less; choose one")
	}
	if err := oneOf("--log-format", f.format, "text", "json"); err != nil {
		return err
	}
	return oneOf("--color", f.color, "auto", "always", "never")
}

// colorful says whether standard output gets colours. What was asked for by
// a flag wins over NO_COLOR (https://no-color.org), which wins over auto.
func (f *logFlags) colorful(env Env) bool { return colorful(env, f.color, env.Stdout) }

func colorful(env Env, when string, w io.Writer) bool {
	if when != "auto" {
		return when == "always"
	}
	if v, ok := env.LookupEnv("NO_COLOR"); ok && v != "" {
		return false
	}
	if t, _ := env.LookupEnv("TERM"); t == "dumb" {
		return false
	}
	return isTerminal(w)
}

func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s %s: one of %s is wanted", flag, value, strings.Join(allowed, ", "))
}

// badFlag says what is wrong with a flag in words of this program: pflag's own
// name the Go function that failed.
func badFlag(cmd *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		wanted := map[string]string{
			"int":      "a number is wanted",
			"duration": "a time with its unit is wanted, as in 90s or 15m",
			"bool":     "it takes no value",
		}[invalid.GetFlag().Value.Type()]
		if wanted != "" {
			return fmt.Errorf("--%s %s: %s", invalid.GetFlag().Name, invalid.GetValue(), wanted)
		}
	}
	return fmt.Errorf("%w%s\nRun '%s --help' for what there is", err, nearestFlag(cmd, err), cmd.CommandPath())
}

// nearestFlag is a hint for a flag that does not exist.
func nearestFlag(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return ""
	}
	have := unknown.GetSpecifiedName()
	// Terraform's flags have one dash, and pflag takes them for letters.
	if letters, _, _ := strings.Cut(unknown.GetSpecifiedShortnames(), "="); letters != "" {
		have = letters
	}
	if len(have) < 2 {
		return ""
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	plain := func(s string) string { return strings.ReplaceAll(s, "-", "") }
	i := slices.IndexFunc(names, func(n string) bool {
		return plain(n) == plain(have) || strings.HasPrefix(n, have) || strings.HasPrefix(have, n)
	})
	near := spec.Nearest(have, names)
	if i >= 0 {
		near = names[i]
	}
	if near == "" {
		return ""
	}
	return "; did you mean --" + near + "?"
}
