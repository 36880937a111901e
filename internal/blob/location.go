package blob

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// publicSuffix is the domain of Azure's public cloud.
const publicSuffix = "core.windows.net"

// suffixes are the domains under which accounts are. An account of a DNS zone
// is ACCOUNT.zNN.blob.storage.azure.net.
var suffixes = []string{publicSuffix, "core.chinacloudapi.cn", "core.usgovcloudapi.net", "core.cloudapi.de", "storage.azure.net"}

// Location is a place in Azure Blob Storage: a container, or what is below a
// path in it, or one blob.
type Location struct {
	Account   string
	Container string
	Path      string // of a blob, or above blobs; no slash at its ends; empty: the whole container
	Host      string // of the account's Blob service; empty: ACCOUNT.blob.core.windows.net
	Endpoint  string // instead of https://HOST, for emulators and proxies: scheme, host and what is before the container

	sas string // came with the text; never printed
}

// LocationError is a text that names no place in Azure Blob Storage. It holds
// no secret that was in the text.
type LocationError struct {
	What string
	Hint string
}

func (e *LocationError) Error() string { return e.What }

const locationForms = "write azblob://ACCOUNT/CONTAINER/PREFIX, https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX, " +
	"abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH or wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH"

var (
	accountForm   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerForm = regexp.MustCompile(`^(\$root|\$web|\$logs|[a-z0-9](-?[a-z0-9]){2,62})$`)
	zoneForm      = regexp.MustCompile(`^z[0-9]{1,2}$`)
)

const (
	maxContainer = 63
	maxPath      = 1024
)

// IsLocation says whether a text is meant as a place in Azure Blob Storage, well
// written or not: by its scheme, or as a URL of a known domain.
func IsLocation(text string) bool {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return false
	}
	switch strings.ToLower(scheme) {
	case "azblob", "abfs", "abfss", "wasb", "wasbs":
		return true
	case "http", "https":
		host, _, _ := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, "?")
		_, _, err := splitHost(strings.ToLower(host))
		return err == nil
	}
	return false
}

// ParseLocation reads what a user wrote. What follows azblob://, abfss:// and
// wasbs:// is taken as it is; a URL's path is unescaped. A SAS (a query with
// sig=) is kept and never printed.
func ParseLocation(text string) (Location, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Location{}, &LocationError{What: "no place in Azure Blob Storage: it has no scheme", Hint: locationForms}
	}
	rest, sas := cutSAS(rest)
	var l Location
	var err error
	switch strings.ToLower(scheme) {
	case "azblob":
		l, err = parseOwn(rest)
	case "http", "https":
		l, err = parseURL(rest)
	case "abfs", "abfss", "wasb", "wasbs":
		l, err = parseHadoop(rest)
	default:
		err = &LocationError{What: fmt.Sprintf("no place in Azure Blob Storage: unknown scheme %q", scheme), Hint: locationForms}
	}
	if err != nil {
		return Location{}, err
	}
	l.sas = sas
	return l, l.check()
}

// cutSAS takes a query away that has a signature.
func cutSAS(rest string) (before, sas string) {
	before, query, ok := strings.Cut(rest, "?")
	if !ok || !hasSignature(query) {
		return rest, ""
	}
	return before, query
}

func hasSignature(query string) bool {
	for part := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(part, "="); strings.EqualFold(key, "sig") {
			return true
		}
	}
	return false
}

func parseOwn(rest string) (Location, error) {
	account, rest, _ := strings.Cut(rest, "/")
	l := Location{Account: account}
	if strings.Contains(account, ".") { // azblob://account.blob.core.windows.net/container
		var err error
		if l, err = fromHost(account); err != nil {
			return Location{}, err
		}
	}
	l.Container, l.Path, _ = strings.Cut(rest, "/")
	l.Path = strings.Trim(l.Path, "/")
	return l, nil
}

func parseURL(rest string) (Location, error) {
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	if query != "" {
		return Location{}, &LocationError{What: "a URL of Azure Blob Storage has a query that is no SAS", Hint: "a SAS has sig=...; a ? in a name is written %3F"}
	}
	host, path, _ := strings.Cut(rest, "/")
	l, err := fromHost(host)
	if err != nil {
		return Location{}, err
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return Location{}, &LocationError{What: "the URL's path is not well escaped", Hint: "a % in a name is written %25"}
	}
	l.Container, l.Path, _ = strings.Cut(plain, "/")
	l.Path = strings.Trim(l.Path, "/")
	return l, nil
}

func parseHadoop(rest string) (Location, error) {
	authority, path, _ := strings.Cut(rest, "/")
	container, host, ok := strings.Cut(authority, "@")
	if !ok {
		return Location{}, &LocationError{What: "abfss:// and wasbs:// name the container before an @", Hint: locationForms}
	}
	l, err := fromHost(host)
	if err != nil {
		return Location{}, err
	}
	l.Container, l.Path = container, strings.Trim(path, "/")
	return l, nil
}

// fromHost is the account of a host name of the Blob or Data Lake service.
func fromHost(host string) (Location, error) {
	host = strings.ToLower(host)
	account, blobHost, err := splitHost(host)
	if err != nil {
		return Location{}, err
	}
	l := Location{Account: account, Host: blobHost}
	if blobHost == account+".blob."+publicSuffix {
		l.Host = ""
	}
	return l, nil
}

// splitHost takes ACCOUNT[.zNN].blob|dfs.SUFFIX apart. The same account answers
// as Blob service whichever of both was named.
func splitHost(host string) (account, blobHost string, err error) {
	for _, suffix := range suffixes {
		front, ok := strings.CutSuffix(host, "."+suffix)
		if !ok {
			continue
		}
		labels := strings.Split(front, ".")
		last := len(labels) - 1
		zoned := len(labels) == 3 && zoneForm.MatchString(labels[1])
		if (len(labels) == 2 || zoned) && (labels[last] == "blob" || labels[last] == "dfs") && labels[0] != "" {
			labels[last] = "blob"
			return labels[0], strings.Join(labels, ".") + "." + suffix, nil
		}
	}
	return "", "", &LocationError{What: "this host is no account of Azure Blob Storage", Hint: locationForms}
}

func (l Location) check() error {
	bad := func(what, hint string) error { return &LocationError{What: what, Hint: hint} }
	switch {
	case !accountForm.MatchString(l.Account):
		return bad("an account's name has 3 to 24 lower-case letters and digits", locationForms)
	case l.Container == "":
		return bad("no container is named", locationForms)
	case len(l.Container) > maxContainer || !containerForm.MatchString(l.Container):
		return bad("a container's name has 3 to 63 lower-case letters, digits and single hyphens", locationForms)
	}
	if l.Path == "" {
		return nil
	}
	return checkName(l.Path)
}

// checkName says what is wrong with a blob's full name, or a path above blobs.
func checkName(name string) error {
	bad := func(what string) error { return &LocationError{What: what} }
	if len([]rune(name)) > maxPath {
		return bad("a blob's name has at most 1024 characters")
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return bad("a blob's name has no control characters and is UTF-8")
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "":
			return bad("a blob's name has no empty part between two slashes")
		case ".", "..":
			return bad("a blob's name has no part . or ..")
		}
	}
	return nil
}

// String is the location in the form azblob://ACCOUNT/CONTAINER/PATH, or with
// the account's host in another cloud. It holds no secret, and ParseLocation
// reads it back.
func (l Location) String() string {
	authority := l.Account
	if l.Host != "" {
		authority = l.Host
	}
	text := "azblob://" + authority + "/" + l.Container
	if l.Path != "" {
		text += "/" + l.Path
	}
	return text
}

// Below is the place of a name relative to this one; an empty name is the place
// itself.
func (l Location) Below(name string) Location {
	l.Path = l.full(name)
	return l
}

// full is a blob's whole name in its container.
func (l Location) full(name string) string {
	switch {
	case name == "":
		return l.Path
	case l.Path == "":
		return name
	default:
		return l.Path + "/" + name
	}
}

// HasSAS says whether a SAS came with the location.
func (l Location) HasSAS() bool { return l.sas != "" }

// service is where the account's Blob service answers, without a slash at the end.
func (l Location) service() string {
	if l.Endpoint != "" {
		return strings.TrimRight(l.Endpoint, "/")
	}
	if l.Host != "" {
		return "https://" + l.Host
	}
	return "https://" + l.Account + ".blob." + publicSuffix
}

// url is the URL of a blob by its full name, or of the container, without a SAS.
func (l Location) url(full string) string {
	address := l.service() + "/" + l.Container
	if full != "" {
		address += "/" + (&url.URL{Path: full}).EscapedPath()
	}
	return address
}
