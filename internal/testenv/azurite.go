package testenv

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	blobcontainer "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// azuriteVersion is the version of the npm package azurite.
const azuriteVersion = "3.37.0"

// BlobService is a running Azurite, Microsoft's emulator of Azure Blob Storage, on loopback with TLS, empty at
// first. Its account and key are its own.
type BlobService struct {
	Addr    string // 127.0.0.1:PORT
	Account string
	Key     string // base64
	Trust   *Authority

	dir string
}

// Endpoint is the URL that the account answers under.
func (s BlobService) Endpoint() string { return "https://" + s.Addr + "/" + s.Account }

// ConnectionString is the account's, with its key, for a service at addr: Addr, or a proxy before it.
func (s BlobService) ConnectionString(addr string) string {
	return fmt.Sprintf("DefaultEndpointsProtocol=https;AccountName=%s;AccountKey=%s;BlobEndpoint=https://%s/%s;", s.Account, s.Key, addr, s.Account)
}

// CreateContainer makes a container.
func (s BlobService) CreateContainer(ctx context.Context, name string) error {
	transport := s.Trust.Transport()
	defer transport.CloseIdleConnections()
	options := &blobcontainer.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}}}
	client, err := blobcontainer.NewClientFromConnectionString(s.ConnectionString(s.Addr), name, options)
	if err == nil {
		_, err = client.Create(ctx, nil)
	}
	return err
}

// Azurite starts a Blob service that lasts until the test ends. Clients trust it by Trust.Pool, other processes by
// the variable SSL_CERT_FILE=Trust.File.
func Azurite(t testing.TB) BlobService {
	t.Helper()
	return begin(t, "Azurite", func(ctx context.Context) (BlobService, error) { return startAzurite(ctx, t) })
}

func startAzurite(ctx context.Context, t testing.TB) (BlobService, error) {
	// The free port may be taken by somebody else before Azurite has it.
	var problems []error
	for range 5 {
		s, cmd, err := AzuriteCommand(ctx, t.TempDir())
		if err != nil {
			return BlobService{}, err
		}
		if err = owned(t, cmd, filepath.Join(s.dir, "azurite.log"), s.Answers); err == nil {
			return s, nil
		}
		problems = append(problems, err)
	}
	return BlobService{}, errors.Join(problems...)
}

// AzuriteCommand is the command that starts a Blob service with its data in dir, for who has no test to end it
// with. Azurite itself is installed when it is not there.
func AzuriteCommand(ctx context.Context, dir string) (BlobService, *exec.Cmd, error) {
	main, err := azuriteMain(ctx)
	if err != nil {
		return BlobService{}, nil, err
	}
	key := make([]byte, 64)
	_, _ = rand.Read(key)
	s := BlobService{Account: "runnertest", Key: base64.StdEncoding.EncodeToString(key), dir: dir}
	if s.Trust, err = newAuthority(dir); err != nil {
		return BlobService{}, nil, err
	}
	certFile, keyFile, err := s.Trust.files(dir)
	if err != nil {
		return BlobService{}, nil, err
	}
	if s.Addr, err = freeAddress(); err != nil {
		return BlobService{}, nil, err
	}
	cmd := exec.Command("node", main, "--silent", "--disableTelemetry", "--skipApiVersionCheck",
		"--location", filepath.Join(dir, "data"), "--blobHost", "127.0.0.1", "--blobPort", s.Addr[len("127.0.0.1:"):],
		"--cert", certFile, "--key", keyFile)
	cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+s.Account+":"+s.Key)
	return s, cmd, nil
}

// Answers says whether the service is up.
func (s BlobService) Answers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint()+"?comp=list", nil)
	if err != nil {
		return false
	}
	transport := s.Trust.Transport()
	transport.DisableKeepAlives = true
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.Header.Get("X-Ms-Error-Code") != "" || response.StatusCode/100 == 4
}

// azuriteMain is the program's main file, installed with npm into the state directory the first time.
func azuriteMain(ctx context.Context) (string, error) {
	state, err := stateSubdir("azurite")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(state, azuriteVersion)
	main := filepath.Join(dir, "node_modules", "azurite", "dist", "src", "blob", "main.js")
	if _, err := os.Stat(main); err == nil {
		return main, nil
	}
	release, err := lock(ctx, filepath.Join(state, "lock"))
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(main); err == nil {
		return main, nil
	}
	part := dir + ".part"
	if err := removeTree(part); err != nil {
		return "", err
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", part, "--ignore-scripts", "--no-audit", "--no-fund",
		"--no-update-notifier", "--loglevel=error", "azurite@"+azuriteVersion)
	cmd.Dir = part
	if text, err := output(cmd); err != nil {
		return "", fmt.Errorf("azurite: %w\n%s", err, text)
	}
	if err := os.Rename(part, dir); err != nil {
		return "", err
	}
	return main, nil
}
