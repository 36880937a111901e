package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/runnerml/runner/internal/testenv"
)

// TestBlobInputs has inputs in Azure Blob Storage, and a machine over SSH that
// reads them. Scripts find the account's connection string in $AZURE, its key in
// $AZURE_KEY.
func TestBlobInputs(t *testing.T) {
	service := testenv.Azurite(t)
	trusted := t.TempDir()
	for dir := trusted; dir != os.TempDir(); dir = filepath.Dir(dir) { // the machine's user reads it
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cert := filepath.Join(trusted, "ca.pem")
	pem, err := os.ReadFile(service.Trust.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, pem, 0o644); err != nil {
		t.Fatal(err)
	}
	fillBlobs(t, service)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/blob",
		RequireExplicitExec: true,
		Cmds:                sshCommands(),
		Setup: func(env *testscript.Env) error {
			if err := setUpSSH(t, env, "", cert); err != nil {
				return err
			}
			env.Setenv("AZURE", service.ConnectionString(service.Addr))
			env.Setenv("AZURE_KEY", service.Key)
			home := env.Getenv("RUNNER_HOME")
			if err := os.MkdirAll(home, 0o700); err != nil {
				return err
			}
			config := fmt.Sprintf("storage_accounts: {%s: 'env:AZURE'}\n", service.Account)
			return os.WriteFile(filepath.Join(home, "config.yaml"), []byte(config), 0o600)
		},
	})
}

func fillBlobs(t *testing.T, service testenv.BlobService) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: service.Trust.Pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := azblob.NewClientFromConnectionString(service.ConnectionString(service.Addr), &azblob.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	if _, err := client.CreateContainer(ctx, "data", nil); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"set/a.txt": "first\n", "set/sub dir/b \u00fc.txt": "second\n", "set/big.bin": strings.Repeat("0123456789abcdef", 1<<20), "other": "no\n",
	} {
		if _, err := client.UploadBuffer(ctx, "data", name, []byte(content), nil); err != nil {
			t.Fatal(err)
		}
	}
}
