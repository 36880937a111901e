package machine

import (
	"slices"
	"strings"
)

// What plain processes inherit of the environment that an agent was started
// in: what says who and where one is, and how programs reach the network and
// find each other. Whoever's command happened to start the agent must make no
// other difference to the scripts of everybody; what a script needs beyond
// this is for the spec to say.
var (
	baselineNames = []string{
		"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
		"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
		"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
		"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
		"CUDA_HOME", "CUDA_PATH", "ROCM_HOME", "ROCM_PATH", "JAVA_HOME",
	}
	baselinePrefixes = []string{"LC_", "SSL_CERT_", "PIP_", "UV_", "CONDA_", "MAMBA_", "XDG_"}
	// ofTheShell belong to the shell in which the agent was started, though
	// they begin like what is kept.
	ofTheShell = []string{"CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_PROMPT_MODIFIER", "CONDA_SHLVL", "XDG_SESSION_ID"}
	// secretWords mark what only those see who make environments: the login of
	// a package index.
	secretWords = []string{"TOKEN", "PASSWORD", "SECRET", "CREDENTIAL", "_KEY"}
)

// baseline is what of environ the tools get that make environments.
func baseline(environ []string) []string {
	if environ == nil {
		return nil
	}
	kept := []string{}
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains(ofTheShell, name) {
			continue
		}
		if slices.Contains(baselineNames, name) || slices.ContainsFunc(baselinePrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			kept = append(kept, v)
		}
	}
	return kept
}

// withoutSecrets is what of a baseline scripts get.
func withoutSecrets(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(strings.ToUpper(name), w) })
	})
}
