package blob

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// Grant is a right that another machine gets: to read one blob, or to list and
// read one container, for a while. It is a secret, though a short-lived one.
type Grant struct {
	Location Location  `json:"location"`
	SAS      string    `json:"sas"`
	Expires  time.Time `json:"expires"`
}

// Open makes a container of a grant, on the machine that got it.
func (g Grant) Open(o Options) (*Container, error) {
	c, err := FromSAS(g.SAS)
	if err != nil {
		return nil, err
	}
	return Open(g.Location, c, o)
}

// Granter mints grants to read, without asking the store for each.
type Granter struct {
	container *Container
	sign      func(sas.BlobSignatureValues) (sas.QueryParameters, error)
	expires   time.Time
	protocol  sas.Protocol
}

// skew is how much the other's clock may be behind ours.
const skew = 5 * time.Minute

// maxDelegation is how long a user delegation key counts at most.
const maxDelegation = 7 * 24 * time.Hour

// Granter prepares grants that count for as long as said: signed with the account
// key, or with a key that the store makes for an identity (which needs the role
// Storage Blob Delegator). A container that was opened with a SAS can give none:
// the error has the problem NotPermitted, and the bytes go through who has the SAS.
func (c *Container) Granter(ctx context.Context, valid time.Duration) (*Granter, error) {
	now := time.Now().UTC()
	g := &Granter{container: c, expires: now.Add(valid), protocol: sas.ProtocolHTTPS}
	if len(c.location.Endpoint) > 5 && c.location.Endpoint[:5] == "http:" { // an emulator without TLS
		g.protocol = sas.ProtocolHTTPSandHTTP
	}
	switch {
	case c.credential.key != nil:
		g.sign = func(v sas.BlobSignatureValues) (sas.QueryParameters, error) {
			return v.SignWithSharedKey(c.credential.key)
		}
		return g, nil
	case c.credential.token != nil:
		g.expires = now.Add(min(valid, maxDelegation-skew))
		return g, g.delegate(ctx, now)
	default:
		return nil, &Error{
			Problem: NotPermitted, What: "a SAS cannot be made without an account key or an identity", Where: c.where(""),
		}
	}
}

func (g *Granter) delegate(ctx context.Context, now time.Time) error {
	c := g.container
	client, err := service.NewClient(c.location.service(), c.credential.token, &service.ClientOptions{ClientOptions: c.clientOpts})
	if err != nil {
		return &Error{Problem: Refused, What: "the account's address cannot be used", Where: c.where("")}
	}
	return c.try(ctx, c.where(""), func(ctx context.Context) error {
		key, err := client.GetUserDelegationCredential(ctx, service.KeyInfo{
			Start: to.Ptr(now.Add(-skew).Format(sas.TimeFormat)), Expiry: to.Ptr(g.expires.Format(sas.TimeFormat)),
		}, nil)
		if err != nil {
			return err
		}
		var one sync.Mutex // the key's hash is not safe for concurrent use
		g.sign = func(v sas.BlobSignatureValues) (sas.QueryParameters, error) {
			one.Lock()
			defer one.Unlock()
			v.StartTime = now.Add(-skew)
			return v.SignWithUserDelegation(key)
		}
		return nil
	})
}

// Blob grants reading one blob, and nothing else.
func (g *Granter) Blob(name string) (Grant, error) {
	full := g.container.location.full(name)
	return g.grant(g.container.location.Below(name), sas.BlobSignatureValues{
		ContainerName: g.container.location.Container, BlobName: full,
		Permissions: (&sas.BlobPermissions{Read: true}).String(),
	})
}

// Container grants listing and reading the whole container: a flat account has no
// smaller right to list.
func (g *Granter) Container() (Grant, error) {
	return g.grant(g.container.location, sas.BlobSignatureValues{
		ContainerName: g.container.location.Container,
		Permissions:   (&sas.ContainerPermissions{Read: true, List: true}).String(),
	})
}

func (g *Granter) grant(l Location, v sas.BlobSignatureValues) (Grant, error) {
	v.Protocol, v.ExpiryTime = g.protocol, g.expires
	signed, err := g.sign(v)
	if err != nil {
		return Grant{}, &Error{Problem: WrongKey, What: "a SAS cannot be signed with this key", Where: l.String()}
	}
	return Grant{Location: l, SAS: signed.Encode(), Expires: g.expires}, nil
}
