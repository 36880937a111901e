package sparksubmit

import (
	"encoding/xml"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// hadoopConf is the part of a cluster's configuration that says where its
// ResourceManagers are.
type hadoopConf map[string]string

// readHadoopConf reads yarn-site.xml of a directory; one that is not there says
// nothing.
func readHadoopConf(dir string) (hadoopConf, error) {
	data, err := os.ReadFile(filepath.Join(dir, "yarn-site.xml"))
	if errors.Is(err, fs.ErrNotExist) {
		return hadoopConf{}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseHadoopConf(data)
}

// Managers are the addresses of the pages of a cluster's ResourceManagers, as its
// yarn-site.xml says.
func Managers(yarnSite []byte) ([]string, error) {
	c, err := parseHadoopConf(yarnSite)
	return c.managers(), err
}

func parseHadoopConf(data []byte) (hadoopConf, error) {
	var site struct {
		Properties []struct {
			Name  string `xml:"name"`
			Value string `xml:"value"`
		} `xml:"property"`
	}
	if err := xml.Unmarshal(data, &site); err != nil {
		return nil, err
	}
	c := hadoopConf{}
	for _, p := range site.Properties {
		c[strings.TrimSpace(p.Name)] = strings.TrimSpace(p.Value)
	}
	return c, nil
}

// managers are the addresses of the ResourceManagers' pages, the likelier ones
// first. Names and defaults are yarn-default.xml's.
func (c hadoopConf) managers() []string {
	scheme, page, port := "http", "yarn.resourcemanager.webapp.address", "8088"
	if c["yarn.http.policy"] == "HTTPS_ONLY" {
		scheme, page, port = "https", "yarn.resourcemanager.webapp.https.address", "8090"
	}
	suffixes := []string{""}
	if c["yarn.resourcemanager.ha.enabled"] == "true" {
		suffixes = nil
		for id := range strings.SplitSeq(c["yarn.resourcemanager.ha.rm-ids"], ",") {
			suffixes = append(suffixes, "."+strings.TrimSpace(id))
		}
	}
	var all []string
	for _, suffix := range suffixes {
		host := c["yarn.resourcemanager.hostname"+suffix]
		address := c[page+suffix]
		switch {
		case address != "":
			address = strings.ReplaceAll(address, "${yarn.resourcemanager.hostname}", host)
		case host != "":
			address = net.JoinHostPort(host, port)
		default:
			continue
		}
		all = append(all, scheme+"://"+address)
	}
	return all
}
