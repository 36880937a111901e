package main

import (
	"log/slog"

	"github.com/runnerml/runner/internal/server"
	"github.com/spf13/cobra"
)

func newServe(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Be the agent in the foreground, for others too",
		Long: `Serve is the agent of this RUNNER_HOME in the foreground, with TCP listeners.
Others use it with RUNNER_SERVER=http://HOST:PORT and RUNNER_TOKEN. It speaks
plain HTTP: put a proxy with TLS in front of what leaves this machine.`,
		Example: `  runner serve --metrics-addr 127.0.0.1:9464
  runner serve --listen 0.0.0.0:8484 --token-file token`,
		Args: wants(0, 0, ""),
	}
	listen := cmd.Flags().String("listen", "", "address of the API, HOST:PORT; needs --token-file")
	tokenFile := cmd.Flags().String("token-file", "", "file with the token that clients have to send")
	metrics := cmd.Flags().String("metrics-addr", "", "address that serves /metrics alone, HOST:PORT")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := onlyLocal(); err != nil {
			return err
		}
		var token []byte
		var err error
		switch {
		case *listen != "" && *tokenFile == "":
			return server.Wrong("--listen needs a token", cmd.CommandPath(), "give --token-file FILE")
		case *listen == "" && *tokenFile != "":
			return server.Wrong("--token-file is for --listen", cmd.CommandPath(), "give --listen HOST:PORT")
		case *tokenFile != "":
			if token, err = server.ReadToken(*tokenFile); err != nil {
				return err
			}
		}
		// Whoever serves by hand takes the place of the agent that came by itself.
		l, err := c.local()
		if err != nil {
			return err
		}
		if err := l.Yield(cmd.Context()); err != nil {
			return err
		}
		a := agentProcess{cli: c, log: slog.New(slog.NewTextHandler(c.err, nil))}
		a.doors = func(s *server.Server, e *engine) ([]server.Listener, error) {
			var doors []server.Listener
			if *listen != "" {
				door, err := server.Listen(*listen)
				if err != nil {
					return nil, err
				}
				a.log.Info("the API listens", "address", door.Addr().String())
				doors = append(doors, server.Listener{Listener: door, Handler: server.WithToken(token, server.WithoutTargets(s))})
			}
			if *metrics != "" {
				door, err := server.Listen(*metrics)
				if err != nil {
					return nil, err
				}
				a.log.Info("metrics listen", "address", door.Addr().String())
				doors = append(doors, server.Listener{Listener: door, Handler: server.MetricsOnly(e.metrics)})
			}
			return doors, nil
		}
		return a.run(cmd.Context())
	}
	return cmd
}
