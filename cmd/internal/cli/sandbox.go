package cli

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

const (
	defaultSandboxFile   = ".churn-sandbox.json"
	defaultSandboxListen = "127.0.0.1:4566"
)

func newSandbox(env Env) *cobra.Command {
	var listen, state string
	var enforce bool
	var log logFlags
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve the embedded AWS endpoint",
		Long: `Serve the embedded AWS endpoint: S3, IAM, STS, ECR, ECS, CloudWatch Logs and
Secrets Manager over AWS's own protocols, for the SDKs, the AWS CLI and
Terraform. Nothing is checked but AWS's rules: any credentials will do. Web
pages are refused. A name other than localhost that callers use has to stand
in --listen.

With --enforce-iam calls are refused that the caller's policies do not allow.
Access keys that were made here, and roles that were assumed here, act with
their policies; any other key is the account's root.`,
		Example: `  churn-reconcile sandbox
  churn-reconcile sandbox --listen 127.0.0.1:4567 --state account.json
  churn-reconcile sandbox --enforce-iam`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := log.check(); err != nil {
				return err
			}
			if listen == "" {
				return errors.New("--listen is given without a value")
			}
			host, _, _ := net.SplitHostPort(listen) // net.Listen says what is wrong with it
			server, err := sandbox.New(sandbox.Options{State: state, Host: host, EnforceIAM: enforce, Log: log.logger(env.Stderr)})
			if err != nil {
				return err
			}
			defer func() { _ = server.Close() }() // the process's end does the same
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("%w; choose another address with --listen", err)
			}
			if !log.quiet {
				url := "http://" + l.Addr().String()
				// Version 1 of the AWS CLI knows AWS_DEFAULT_REGION only, the SDKs AWS_REGION.
				fmt.Fprintf(env.Stdout, "Serving AWS on %s\n\n"+
					"  export AWS_ENDPOINT_URL=%s\n"+
					"  export AWS_REGION=eu-north-1 AWS_DEFAULT_REGION=eu-north-1\n"+
					"  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\n\n", url, url)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return server.Serve(ctx, l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", defaultSandboxListen, "`ADDRESS` to listen on")
	cmd.Flags().StringVar(&state, "state", "", "keep the state in `FILE` between runs; without it in memory only")
	cmd.Flags().BoolVar(&enforce, "enforce-iam", false, "refuse what the caller's policies do not allow")
	log.register(cmd)
	return cmd
}

// embed serves the endpoint in this process, on a free port of the loopback
// interface.
func embed(state, account string) (url string, end func(), err error) {
	server, err := sandbox.New(sandbox.Options{Account: account, State: state})
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, errors.Join(errors.New("serve the sandbox"), err, server.Close())
	}
	// The state is on disk after each write, so there is nothing to drain.
	serve := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}
	go serve.Serve(l) //nolint:errcheck // it ends by Close
	end = func() {
		_ = serve.Close()
		_ = server.Close() // the process's end does the same
	}
	return "http://" + l.Addr().String(), end, nil
}
