package runconfig

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/yamlpos"
)

// inputSchemes are the addresses that an input can have.
var inputSchemes = []string{"azblob", "https", "abfss", "wasbs", "abfs", "wasb"}

var sha256Form = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

func (v *checks) inputPath(field string, in Input) {
	at := yamlpos.Join(field, "path")
	switch {
	case in.Path == "":
		v.addf(field, "path: ./data", "%s has no path", field)
		return
	case strings.ContainsRune(in.Path, 0):
		v.addf(at, "", "a path holds a NUL byte")
		return
	}
	switch in.Kind() {
	case InputTarget:
		if !path.IsAbs(in.TargetPath()) {
			v.addf(at, "target:/data/imagenet", "a path of the target must begin with a slash: %s", in.Path)
		}
	case InputRun:
		v.inputOfRun(at, in)
	case InputURL:
		v.inputURL(at, in.Path)
	case InputLocal:
	}
	if in.SHA256 != "" {
		at := yamlpos.Join(field, "sha256")
		scheme, _, _ := strings.Cut(in.Path, "://")
		switch {
		case scheme != "https":
			v.addf(at, "all others are checked without it", "sha256 is of a file from an https:// address")
		case !sha256Form.MatchString(in.SHA256):
			v.addf(at, "sha256sum FILE prints it", "sha256 must be 64 hexadecimal digits")
		}
	}
}

func (v *checks) inputOfRun(at string, in Input) {
	run, what := in.OfRun()
	top, _, _ := strings.Cut(what, "/")
	switch {
	case run == "":
		v.addf(at, "run:RUN/outputs/model", "%s names no run", in.Path)
	case top != "outputs" && top != "logs" || path.Clean(what) != strings.TrimSuffix(what, "/"):
		v.addf(at, "run:"+run+"/outputs/model", "what a run left is in outputs/ and logs/, not in %q", what)
	}
}

// inputURL checks an address. One that holds a secret is refused: it would be
// shown wherever the run is; and it is not repeated.
func (v *checks) inputURL(at, address string) {
	scheme, rest, _ := strings.Cut(address, "://")
	switch {
	case !slices.Contains(inputSchemes, scheme):
		v.addf(at, yamlpos.DidYouMean(scheme, inputSchemes), "inputs from %s:// are not known", scheme)
		return
	case rest == "":
		v.addf(at, "", "%q is no address", address)
		return
	case scheme != "https":
		if hasSignature(rest) {
			v.signature(at)
		}
		return
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		v.addf(at, "", "this is no https:// address")
	case u.User != nil:
		v.addf(at, "leave what stands before the @ away", "the address holds a name or password, which would be shown wherever the run is")
	case hasSignature(address):
		v.signature(at)
	}
}

// CheckAddress says what is wrong with the address of an input, or nothing. It
// repeats no secret.
func CheckAddress(address string) string {
	v := &checks{}
	v.inputURL("", address)
	if len(v.problems) == 0 {
		return ""
	}
	return v.problems[0].Message
}

func (v *checks) signature(at string) {
	v.addf(at, "leave it away, and say in config.yaml under storage_accounts how the account is reached",
		"the address holds a signature (SAS), which would be shown wherever the run is")
}

// hasSignature says whether an address has a query that lets whoever knows it in.
func hasSignature(address string) bool {
	_, query, _ := strings.Cut(address, "?")
	for part := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(strings.ToLower(part), "=")
		switch key {
		case "sig", "signature", "x-amz-signature", "x-goog-signature", "token", "access_token":
			return true
		}
	}
	return false
}
