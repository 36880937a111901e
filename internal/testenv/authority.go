package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Authority is a certificate authority of one test, which nobody else trusts.
type Authority struct {
	File string // its certificate, PEM, for SSL_CERT_FILE
	Pool *x509.CertPool

	leaf *x509.Certificate
	key  *ecdsa.PrivateKey
	der  []byte
}

// newAuthority makes an authority, its certificate in dir, and a certificate for this machine's loopback names.
func newAuthority(dir string) (*Authority, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "runner test authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	if root, err = x509.ParseCertificate(rootDER); err != nil {
		return nil, err
	}
	a := &Authority{File: filepath.Join(dir, "authority.pem"), Pool: x509.NewCertPool(), key: key}
	a.Pool.AddCert(root)
	a.leaf = &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if a.der, err = x509.CreateCertificate(rand.Reader, a.leaf, root, &key.PublicKey, rootKey); err != nil {
		return nil, err
	}
	return a, os.WriteFile(a.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600)
}

// files writes the loopback certificate and its key to dir.
func (a *Authority) files(dir string) (certFile, keyFile string, err error) {
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "loopback.pem"), filepath.Join(dir, "loopback.key")
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der}), 0o600); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
}

// Transport is a client that trusts this authority.
func (a *Authority) Transport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12}}
}

// server is what a server on loopback shows.
func (a *Authority) server() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{a.der}, PrivateKey: a.key}},
		MinVersion:   tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}
}
