package program

// Identity is what a program says of itself.
type Identity struct {
	// Digest of its file, in hex.
	Digest string `json:"digest"`
	Build  Build  `json:"build"`
}

// Identify says who we are; dir as in OwnDigest.
func Identify(dir string) (Identity, error) {
	digest, err := OwnDigest(dir)
	return Identity{Digest: digest, Build: Own()}, err
}
