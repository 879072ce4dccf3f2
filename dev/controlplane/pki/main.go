// Command pki makes the keys of one throw-away control plane: a certificate authority, the certificates of
// kube-apiserver and etcd (loopback names only), and the key that signs service-account tokens.
//
// It is built together with the servers because neither Python's standard library nor a bare machine can make keys.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"
)

const lifetime = 10 * 365 * 24 * time.Hour

type identity struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("pki: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: pki DIR")
	}
	dir := os.Args[1]

	authority := issue(dir, "ca", &x509.Certificate{
		Subject:               pkix.Name{CommonName: "qbsync-local-ca"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)

	issue(dir, "apiserver", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, authority)

	// etcd and its one client, kube-apiserver, share this one.
	issue(dir, "etcd", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "etcd"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, authority)

	writeKey(dir, "service-account", newKey())
}

// issue makes a key and a certificate for it, signed by authority (by itself without one), and writes both to dir.
func issue(dir, name string, template *x509.Certificate, authority *identity) *identity {
	key := newKey()
	// An hour back: the clocks of a virtual machine and its host may differ.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(lifetime)
	if authority == nil {
		authority = &identity{certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.certificate, key.Public(), authority.key)
	check(err)
	// Parsed again, so that it carries the key identifier that certificates signed by it must name.
	certificate, err := x509.ParseCertificate(der)
	check(err)
	writePEM(dir, name+".crt", "CERTIFICATE", der, 0o644)
	writeKey(dir, name, key)
	return &identity{certificate: certificate, key: key}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func writeKey(dir, name string, key *ecdsa.PrivateKey) {
	der, err := x509.MarshalECPrivateKey(key)
	check(err)
	writePEM(dir, name+".key", "EC PRIVATE KEY", der, 0o600)
}

func writePEM(dir, name, kind string, der []byte, mode os.FileMode) {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	check(os.WriteFile(filepath.Join(dir, name), block, mode))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
