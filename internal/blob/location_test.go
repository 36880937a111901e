package blob

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseLocation(t *testing.T) {
	const sas = "sv=2024-08-04&se=2030-01-01T00%3A00%3A00Z&sr=c&sp=rl&sig=c2VjcmV0%3D"
	for _, test := range []struct {
		name, text string
		want       Location
		printed    string // empty: as text
		sas        bool
	}{
		{name: "container", text: "azblob://team/data", want: Location{Account: "team", Container: "data"}},
		{name: "prefix", text: "azblob://team/data/a/b", want: Location{Account: "team", Container: "data", Path: "a/b"}},
		{name: "slash at the end", text: "azblob://team/data/a/", want: Location{Account: "team", Container: "data", Path: "a"}, printed: "azblob://team/data/a"},
		{name: "as it is", text: "azblob://team/data/a b%20c?d#e", want: Location{Account: "team", Container: "data", Path: "a b%20c?d#e"}},
		{name: "URL", text: "https://team.blob.core.windows.net/data/a%20b/%C3%A9", want: Location{Account: "team", Container: "data", Path: "a b/é"}, printed: "azblob://team/data/a b/é"},
		{name: "URL in capitals", text: "HTTPS://Team.Blob.core.windows.NET/data", want: Location{Account: "team", Container: "data"}, printed: "azblob://team/data"},
		{name: "URL with SAS", text: "https://team.blob.core.windows.net/data/a?" + sas, want: Location{Account: "team", Container: "data", Path: "a"}, printed: "azblob://team/data/a", sas: true},
		{name: "own form with SAS", text: "azblob://team/data?" + sas, want: Location{Account: "team", Container: "data"}, printed: "azblob://team/data", sas: true},
		{name: "abfss", text: "abfss://data@team.dfs.core.windows.net/a/b", want: Location{Account: "team", Container: "data", Path: "a/b"}, printed: "azblob://team/data/a/b"},
		{name: "wasbs", text: "wasbs://data@team.blob.core.windows.net/a", want: Location{Account: "team", Container: "data", Path: "a"}, printed: "azblob://team/data/a"},
		{name: "abfss with SAS", text: "abfss://data@team.dfs.core.windows.net/a?" + sas, want: Location{Account: "team", Container: "data", Path: "a"}, printed: "azblob://team/data/a", sas: true},
		{name: "China", text: "https://team.blob.core.chinacloudapi.cn/data", want: Location{Account: "team", Container: "data", Host: "team.blob.core.chinacloudapi.cn"}, printed: "azblob://team.blob.core.chinacloudapi.cn/data"},
		{name: "US government", text: "abfss://data@team.dfs.core.usgovcloudapi.net/", want: Location{Account: "team", Container: "data", Host: "team.blob.core.usgovcloudapi.net"}, printed: "azblob://team.blob.core.usgovcloudapi.net/data"},
		{name: "DNS zone", text: "https://team.z01.blob.storage.azure.net/data", want: Location{Account: "team", Container: "data", Host: "team.z01.blob.storage.azure.net"}, printed: "azblob://team.z01.blob.storage.azure.net/data"},
		{name: "root container", text: "azblob://team/$root/a", want: Location{Account: "team", Container: "$root", Path: "a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseLocation(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(Location{})); diff != "" {
				t.Errorf("location (-want +got):\n%s", diff)
			}
			if test.printed == "" {
				test.printed = test.text
			}
			if got.String() != test.printed {
				t.Errorf("prints as %q, want %q", got, test.printed)
			}
			if got.HasSAS() != test.sas {
				t.Errorf("has a SAS: %v, want %v", got.HasSAS(), test.sas)
			}
			if !IsLocation(test.text) {
				t.Error("is not seen as a location")
			}
		})
	}
}

func TestParseLocationRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a path", "./data", "it has no scheme"},
		{"another scheme", "s3://bucket/key", `unknown scheme "s3"`},
		{"another host", "https://example.com/data", "no account of Azure Blob Storage"},
		{"no container", "azblob://team", "no container is named"},
		{"no container in a URL", "https://team.blob.core.windows.net/", "no container is named"},
		{"capitals in an account", "azblob://Team/data", "an account's name has 3 to 24"},
		{"capitals in a container", "azblob://team/Data", "a container's name has 3 to 63"},
		{"short container", "azblob://team/ab", "a container's name has 3 to 63"},
		{"two hyphens", "azblob://team/a--b", "a container's name has 3 to 63"},
		{"dots", "azblob://team/data/../other", "no part . or .."},
		{"two slashes", "azblob://team/data/a//b", "no empty part"},
		{"control character", "azblob://team/data/a\nb", "no control characters"},
		{"query without signature", "https://team.blob.core.windows.net/data?comp=list", "a query that is no SAS"},
		{"bad escape", "https://team.blob.core.windows.net/data/100%", "not well escaped"},
		{"abfss without container", "abfss://team.dfs.core.windows.net/a", "before an @"},
		{"a name that ends like the domain", "https://evil-core.windows.net/data", "no account"},
		{"another service", "https://team.queue.core.windows.net/data", "no account"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseLocation(test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, seed := range []string{
		"azblob://team/data/a b", "https://team.blob.core.windows.net/data/a%20b?sv=1&sig=TOPSECRET",
		"abfss://data@team.dfs.core.usgovcloudapi.net/a?sig=TOPSECRET", "wasbs://d@t/", "https://team.z01.blob.storage.azure.net/$web/%2e%2e",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLocation(text)
		if err != nil {
			return
		}
		printed := l.String()
		if l.sas != "" && len(l.sas) > 8 && strings.Contains(printed, l.sas) {
			t.Fatalf("prints the SAS of %q: %q", text, printed)
		}
		again, err := ParseLocation(printed)
		l.sas = ""
		if err != nil || again != l {
			t.Fatalf("%q prints as %q, which reads as %+v (%v), not %+v", text, printed, again, err, l)
		}
	})
}
