package machine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBaseline(t *testing.T) {
	environ := []string{
		"HOME=/root", "PATH=/bin", "LC_ALL=C.UTF-8", "https_proxy=http://p", "PIP_INDEX_URL=https://i", "SSL_CERT_FILE=/ca",
		"UV_PUBLISH_TOKEN=t", "UV_INDEX_OURS_PASSWORD=p", "AWS_SECRET_ACCESS_KEY=k", "HF_TOKEN=t", "PYTHONPATH=/x", "FOO=bar",
		"VIRTUAL_ENV=/v", "CONDA_PREFIX=/c", "CONDA_PKGS_DIRS=/p", "CUDA_VISIBLE_DEVICES=0", "RUNNER_HOME=/r", "TERM=xterm", "NAME",
	}
	tools := []string{
		"HOME=/root", "PATH=/bin", "LC_ALL=C.UTF-8", "https_proxy=http://p", "PIP_INDEX_URL=https://i", "SSL_CERT_FILE=/ca",
		"UV_PUBLISH_TOKEN=t", "UV_INDEX_OURS_PASSWORD=p", "CONDA_PKGS_DIRS=/p",
	}
	scripts := []string{
		"HOME=/root", "PATH=/bin", "LC_ALL=C.UTF-8", "https_proxy=http://p", "PIP_INDEX_URL=https://i", "SSL_CERT_FILE=/ca",
		"CONDA_PKGS_DIRS=/p",
	}
	got := baseline(environ)
	if diff := cmp.Diff(tools, got); diff != "" {
		t.Errorf("for those who make environments (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(scripts, withoutSecrets(got)); diff != "" {
		t.Errorf("for scripts (-want +got):\n%s", diff)
	}
	if baseline(nil) != nil {
		t.Error("nil is what the host gives, and stays so")
	}
}
