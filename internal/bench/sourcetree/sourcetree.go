// Package sourcetree makes the source tree of the performance bounds: 20,000
// files with 200 MB in 200 directories, of which 18,000 hold text that shrinks
// like source code and 2,000 hold data that does not shrink. The same size
// gives the same bytes.
package sourcetree

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Files is how many files a whole tree has.
const Files = dirs * perDir

const dirs, perDir, meanSize = 200, 100, 10_000

// Make makes the first files of the tree, a multiple of 100 of them, in src.
func Make(src string, files int) error {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 5000)
	for i := range words {
		words[i] = fmt.Sprintf("%x", r.Uint64()>>(8*r.IntN(7)))
	}
	var content []byte
	for d := range files / perDir {
		dir := filepath.Join(src, fmt.Sprintf("pkg%d/mod%d", d/20, d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("source tree: %w", err)
		}
		for f := range perDir {
			size := meanSize/5 + r.IntN(meanSize*8/5)
			content = content[:0]
			for len(content) < size {
				if f%10 == 0 {
					content = append(content, byte(r.Uint32()))
				} else {
					content = append(append(content, words[r.IntN(len(words))]...), ' ')
				}
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d.py", f)), content, 0o644); err != nil {
				return fmt.Errorf("source tree: %w", err)
			}
		}
	}
	return nil
}
