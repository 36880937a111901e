package blob

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// Credential is a right to a storage account. It prints as its kind, never as
// what it holds. The zero Credential has no right of its own: it uses the SAS of
// the location, or reads what is public.
type Credential struct {
	kind     string
	account  string // of the key or connection string; empty: any
	endpoint string // of a connection string; empty: the location's
	key      *blob.SharedKeyCredential
	sas      string
	token    azcore.TokenCredential
}

// CredentialError is a text that is no credential. It holds nothing of the text.
type CredentialError struct {
	What string
	Hint string
}

func (e *CredentialError) Error() string { return e.What }

const (
	kindNone       = "none"
	kindKey        = "account key"
	kindSAS        = "SAS"
	kindIdentity   = "identity"
	kindConnection = "connection string"
)

// String is the credential's kind.
func (c Credential) String() string {
	if c.kind == "" {
		return kindNone
	}
	return c.kind
}

// GoString keeps %#v from printing what is inside.
func (c Credential) GoString() string { return "blob.Credential(" + c.String() + ")" }

// MarshalText keeps loggers and JSON from looking inside.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// FromConnectionString reads what the portal calls a connection string: an
// account and its key or a SAS, and where the account's Blob service answers.
func FromConnectionString(text string) (Credential, error) {
	bad := func(what string) (Credential, error) {
		return Credential{}, &CredentialError{
			What: "the connection string is not right: " + what,
			Hint: "copy it whole from the portal (Access keys) or az storage account show-connection-string",
		}
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimSpace(text), ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return bad("it has a part without =")
		}
		fields[strings.ToLower(key)] = value
	}
	if fields["usedevelopmentstorage"] != "" {
		return bad("UseDevelopmentStorage names no key: write the emulator's own connection string")
	}
	c := Credential{kind: kindConnection, account: fields["accountname"]}
	if endpoint := fields["blobendpoint"]; endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return bad("its BlobEndpoint is no URL")
		}
		c.endpoint = strings.TrimRight(endpoint, "/")
		if c.account == "" {
			c.account, _, _ = splitHost(u.Host)
		}
	} else {
		suffix := fields["endpointsuffix"]
		if suffix == "" {
			suffix = publicSuffix
		}
		if c.account == "" {
			return bad("it has neither AccountName nor BlobEndpoint")
		}
		scheme := fields["defaultendpointsprotocol"]
		if scheme == "" {
			scheme = "https"
		}
		c.endpoint = fmt.Sprintf("%s://%s.blob.%s", scheme, c.account, suffix)
	}
	switch {
	case fields["accountkey"] != "":
		key, err := FromKey(c.account, fields["accountkey"])
		if err != nil {
			return bad("its AccountKey is no base64")
		}
		c.key = key.key
	case fields["sharedaccesssignature"] != "":
		sas, err := FromSAS(fields["sharedaccesssignature"])
		if err != nil {
			return bad("its SharedAccessSignature has no sig=")
		}
		c.sas = sas.sas
	default:
		return bad("it has neither AccountKey nor SharedAccessSignature")
	}
	return c, nil
}

// FromKey is one of the two keys of an account, in base64 as the portal shows it.
func FromKey(account, key string) (Credential, error) {
	key = strings.TrimSpace(key)
	if _, err := base64.StdEncoding.DecodeString(key); err != nil || key == "" {
		return Credential{}, &CredentialError{What: "an account key is base64, and this is not", Hint: "copy it whole from the portal (Access keys), with the = at its end"}
	}
	shared, err := blob.NewSharedKeyCredential(account, key)
	if err != nil {
		return Credential{}, &CredentialError{What: "the account key cannot be used", Hint: "copy it whole from the portal (Access keys)"}
	}
	return Credential{kind: kindKey, account: account, key: shared}, nil
}

// FromSAS is a shared access signature: the query part of a URL, with or without
// its question mark, or the whole URL.
func FromSAS(text string) (Credential, error) {
	text = strings.TrimSpace(text)
	if _, query, ok := strings.Cut(text, "?"); ok {
		text = query
	}
	if !hasSignature(text) {
		return Credential{}, &CredentialError{What: "a SAS has a part sig=, and this has none", Hint: "copy the SAS token whole, from sv= to the end of sig="}
	}
	if _, err := url.ParseQuery(text); err != nil {
		return Credential{}, &CredentialError{What: "the SAS is not well escaped", Hint: "copy the SAS token whole"}
	}
	return Credential{kind: kindSAS, sas: text}, nil
}

// FromSecret reads a credential of any kind that stands in one text: a
// connection string, a SAS (or a URL with one), or else the key of the account.
func FromSecret(account, text string) (Credential, error) {
	text = strings.TrimSpace(text)
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "accountkey=") || strings.Contains(lower, "sharedaccesssignature=") || strings.Contains(lower, "blobendpoint="):
		return FromConnectionString(text)
	case hasSignature(strings.TrimPrefix(text, "?")) || strings.Contains(text, "://"):
		return FromSAS(text)
	default:
		return FromKey(account, text)
	}
}

// FromIdentity is whoever this process is to Azure: what the variables
// AZURE_CLIENT_ID and so on say, a workload or managed identity, or who is
// logged in with az login. Nothing is asked before it is used.
func FromIdentity() (Credential, error) {
	token, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return Credential{}, &CredentialError{What: "no Azure identity can be used here", Hint: "run az login, or give a connection string, key or SAS"}
	}
	return Credential{kind: kindIdentity, token: token}, nil
}
