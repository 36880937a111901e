package blob

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// Options are how a container is used. The zero value is right for a store on
// the Internet.
type Options struct {
	Connections int            // requests at once, of everything on this container; 0: 8
	BlockSize   int64          // of one file what is on its way at once, all its connections together, in bytes: a kill makes no more of it travel again; 0: 32 MiB
	Patience    time.Duration  // how long one request may go wrong before its error is returned; 0: 2 minutes, negative: for ever
	Stall       time.Duration  // how long no byte may move before a request is given up and made again; 0: 1 minute
	RootCAs     *x509.CertPool // whom to trust; nil: whom the system trusts (SSL_CERT_FILE counts)
	firstWait   time.Duration  // before the first repetition; tests shorten it
	page        int32          // how many blobs are listed at once; 0: as many as the store likes
}

const (
	defaultConnections = 8
	defaultBlock       = 32 << 20
	largestOne         = 8 << 20 // of a blob that goes or comes in one request, and of one answer
	defaultPatience    = 2 * time.Minute
	defaultStall       = time.Minute
	// verifiedRange is the largest range whose checksum the service tells.
	verifiedRange = 4 << 20
	dialTimeout   = 20 * time.Second
)

func (o Options) filled() Options {
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	if o.BlockSize <= 0 {
		o.BlockSize = defaultBlock
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.firstWait <= 0 {
		o.firstWait = firstWait
	}
	return o
}

// one is how large a blob may be that goes or comes in one request.
func (o Options) one() int64 { return min(o.BlockSize, largestOne) }

// Report is who hears of what goes on. Its functions are called from several
// goroutines, never two at once for the same transfer, and must not block.
type Report struct {
	Wait     func(Wait)
	Progress func(Progress)
}

// Container is an open location: names are relative to its path. Safe for
// concurrent use.
type Container struct {
	location   Location
	credential Credential
	options    Options
	report     Report
	client     *container.Client
	clientOpts azcore.ClientOptions
	transport  *http.Transport
	slots      chan struct{}
}

// Blob is one blob as the service describes it.
type Blob struct {
	Name     string // relative to the container's location
	Size     int64
	ETag     string
	MD5      []byte // of the whole content, if the blob has one
	Modified time.Time
	Metadata map[string]string // keys in lower case; nil: none
}

// Open makes a container of a location and a right to it. It asks nobody: what
// is wrong is told by the first use, or by [Container.Check].
func Open(l Location, c Credential, o Options) (*Container, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	if c.account != "" && c.account != l.Account {
		return nil, &CredentialError{
			What: "the credential is for the account " + c.account + ", not for " + l.Account,
			Hint: "give a credential of the account that the location names",
		}
	}
	if l.Endpoint == "" && c.endpoint != "" && c.endpoint != l.service() {
		l.Endpoint = c.endpoint
	}
	if c.kind == "" && l.sas != "" {
		c = Credential{kind: kindSAS, sas: l.sas}
	}
	l.sas = ""
	o = o.filled()
	k := &Container{location: l, credential: c, options: o, slots: make(chan struct{}, o.Connections)}
	k.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           o.dial,
		TLSClientConfig:       &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   dialTimeout,
		MaxIdleConnsPerHost:   o.Connections,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // blobs come as they are
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
	}
	k.clientOpts = azcore.ClientOptions{
		Transport: &http.Client{Transport: k.transport},
		Retry:     policy.RetryOptions{MaxRetries: -1}, // try repeats
		Telemetry: policy.TelemetryOptions{ApplicationID: "runner"},
	}
	opts := &container.ClientOptions{ClientOptions: k.clientOpts}
	address := l.url("")
	var err error
	switch {
	case c.key != nil:
		k.client, err = container.NewClientWithSharedKeyCredential(address, c.key, opts)
	case c.token != nil:
		k.client, err = container.NewClient(address, c.token, opts)
	case c.sas != "":
		k.client, err = container.NewClientWithNoCredential(address+"?"+c.sas, opts)
	default:
		k.client, err = container.NewClientWithNoCredential(address, opts)
	}
	if err != nil { // of the address or the SAS, which its text may hold
		return nil, &CredentialError{What: "the credential cannot be used for " + l.String() + " (" + redact(err.Error()) + ")"}
	}
	return k, nil
}

// refusalKind is what a refusal is to be explained by.
func (c Credential) refusalKind() string {
	switch {
	case c.sas != "":
		return kindSAS
	case c.key != nil:
		return kindKey
	case c.token != nil:
		return kindIdentity
	}
	return kindNone
}

// Close ends idle connections. Transfers must have ended.
func (c *Container) Close() { c.transport.CloseIdleConnections() }

// Location is where the container is, without a secret.
func (c *Container) Location() Location { return c.location }

// Reporting is the same container, telling r what goes on.
func (c *Container) Reporting(r Report) *Container {
	other := *c
	other.report = r
	return &other
}

// At is the same container at another path below its location.
func (c *Container) At(name string) *Container {
	other := *c
	other.location = c.location.Below(name)
	return &other
}

// CheckName says what is wrong with a name below the location, for which there
// can be no blob.
func (c *Container) CheckName(name string) error { return checkName(c.location.full(name)) }

func (c *Container) where(name string) string { return c.location.Below(name).String() }

// blockBlob is the client of one blob; sas, if any, is used in place of the
// container's credential.
func (c *Container) blockBlob(name, sas string) (*blockblob.Client, error) {
	full := c.location.full(name)
	if err := checkName(full); err != nil {
		return nil, &Error{Problem: Refused, What: err.Error(), Where: c.where(name)}
	}
	if sas == "" {
		return c.client.NewBlockBlobClient(full), nil
	}
	client, err := blockblob.NewClientWithNoCredential(c.location.url(full)+"?"+sas, &blockblob.ClientOptions{ClientOptions: c.clientOpts})
	if err != nil {
		return nil, &Error{Problem: Refused, What: "the SAS cannot be used", Where: c.where(name)}
	}
	return client, nil
}

// by is the same container, where a refusal is one of this SAS; empty: of its own
// credential.
func (c *Container) by(sas string) *Container {
	if sas == "" {
		return c
	}
	other := *c
	other.credential = Credential{kind: kindSAS, sas: sas}
	return &other
}

// Stat describes a blob; the empty name is the one at the location itself.
func (c *Container) Stat(ctx context.Context, name string) (Blob, error) {
	return c.stat(ctx, name, "")
}

func (c *Container) stat(ctx context.Context, name, sas string) (Blob, error) {
	client, err := c.blockBlob(name, sas)
	if err != nil {
		return Blob{}, err
	}
	var b Blob
	err = c.by(sas).try(ctx, c.where(name), func(ctx context.Context) error {
		p, err := client.GetProperties(ctx, nil)
		if err != nil {
			return missing(err)
		}
		b = Blob{
			Name: name, Size: value(p.ContentLength), ETag: string(value(p.ETag)),
			MD5: p.ContentMD5, Modified: value(p.LastModified), Metadata: plain(p.Metadata),
		}
		return nil
	})
	return b, err
}

// missing gives the word that an answer to HEAD has only in a header.
func missing(err error) error {
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok && answer.ErrorCode == "" && answer.RawResponse != nil {
		answer.ErrorCode = answer.RawResponse.Header.Get("X-Ms-Error-Code")
	}
	return err
}

// plain is metadata as it was given: what travels as headers comes back in
// another case.
func plain(metadata map[string]*string) map[string]string {
	if len(metadata) == 0 {
		return nil
	}
	out := make(map[string]string, len(metadata))
	for key, val := range metadata {
		out[strings.ToLower(key)] = value(val)
	}
	return out
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// List tells the blobs below a name, in the service's order (by name); an empty
// name is everything below the location. A blob whose name is the location
// itself is not below it: see Stat. What a hierarchical account keeps for its
// directories is left out.
func (c *Container) List(ctx context.Context, below string) iter.Seq2[Blob, error] {
	return func(yield func(Blob, error) bool) {
		prefix := c.location.full(below)
		if prefix != "" {
			prefix += "/"
		}
		cut := 0
		if c.location.Path != "" {
			cut = len(c.location.Path) + 1
		}
		opts := &container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{Metadata: true}}
		if prefix != "" {
			opts.Prefix = &prefix
		}
		if c.options.page > 0 {
			opts.MaxResults = &c.options.page
		}
		for more := true; more; {
			var page container.ListBlobsFlatResponse
			err := c.try(ctx, c.where(below), func(ctx context.Context) error {
				var err error
				// One pager a try: after an error answer it gives that error for ever.
				page, err = c.client.NewListBlobsFlatPager(opts).NextPage(ctx)
				if err == nil && page.Segment == nil { // an empty list has one, too: nothing is taken for nothing there
					err = &Error{Problem: Unavailable, What: "the store answers with no list", Where: c.where(below), Temporary: true}
				}
				return err
			})
			if err != nil {
				yield(Blob{}, err)
				return
			}
			opts.Marker = page.NextMarker
			more = value(page.NextMarker) != ""
			for _, item := range page.Segment.BlobItems {
				if item.Name == nil || item.Properties == nil || isDirectory(item) || len(*item.Name) <= cut {
					continue
				}
				p := item.Properties
				b := Blob{
					Name: (*item.Name)[cut:], Size: value(p.ContentLength), ETag: quoted(string(value(p.ETag))),
					MD5: p.ContentMD5, Modified: value(p.LastModified), Metadata: plain(item.Metadata),
				}
				if !yield(b, nil) {
					return
				}
			}
		}
	}
}

// quoted is an ETag as the service's headers have it; its listings leave the
// quotation marks out.
func quoted(etag string) string {
	if etag == "" || strings.HasPrefix(etag, `"`) || strings.HasPrefix(etag, "W/") {
		return etag
	}
	return `"` + etag + `"`
}

func isDirectory(item *container.BlobItem) bool {
	if strings.HasSuffix(*item.Name, "/") {
		return true
	}
	for key, val := range item.Metadata {
		if strings.EqualFold(key, "hdi_isfolder") && val != nil && strings.EqualFold(*val, "true") {
			return true
		}
	}
	return false
}

// Check says whether the container can be read and listed: nil, or why not. It
// tries once.
func (c *Container) Check(ctx context.Context) error {
	return c.once(ctx, c.where(""), func(ctx context.Context) error {
		prefix := c.location.Path
		one := int32(1)
		_, err := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix, MaxResults: &one}).NextPage(ctx)
		return err
	})
}

// Delete removes a blob. One that is not there is fine.
func (c *Container) Delete(ctx context.Context, name string) error {
	client, err := c.blockBlob(name, "")
	if err != nil {
		return err
	}
	err = c.try(ctx, c.where(name), func(ctx context.Context) error {
		_, err := client.Delete(ctx, &blob.DeleteOptions{DeleteSnapshots: to.Ptr(blob.DeleteSnapshotsOptionTypeInclude)})
		return missing(err)
	})
	if ProblemOf(err) == NotFound {
		return nil
	}
	return err
}
