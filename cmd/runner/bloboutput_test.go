package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/runnerml/runner/internal/testenv"
)

// TestBlobOutputs has named outputs that end in Azure Blob Storage. The command
// blobs CONTAINER lists what is there, with sizes.
func TestBlobOutputs(t *testing.T) {
	service := testenv.Azurite(t)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: service.Trust.Pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := azblob.NewClientFromConnectionString(service.ConnectionString(service.Addr), &azblob.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateContainer(t.Context(), "models", nil); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/bloboutput",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"blobs": func(ts *testscript.TestScript, _ bool, args []string) {
				pager := client.NewListBlobsFlatPager(args[0], nil)
				for pager.More() {
					page, err := pager.NextPage(context.WithoutCancel(t.Context()))
					ts.Check(err)
					for _, item := range page.Segment.BlobItems {
						_, err := fmt.Fprintf(ts.Stdout(), "%s %d\n", *item.Name, *item.Properties.ContentLength)
						ts.Check(err)
					}
				}
			},
		},
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("RUNNER_HOME", home)
			env.Setenv("RUNNER_AGENT_IDLE", "30s")
			env.Defer(func() { stopAgent(t, home) })
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("SSL_CERT_FILE", service.Trust.File)
			env.Setenv("AZURE", service.ConnectionString(service.Addr))
			env.Setenv("AZURE_KEY", service.Key)
			if err := os.MkdirAll(home, 0o700); err != nil {
				return err
			}
			config := fmt.Sprintf("storage_accounts: {%s: 'env:AZURE'}\n", service.Account)
			return os.WriteFile(filepath.Join(home, "config.yaml"), []byte(config), 0o600)
		},
	})
}
