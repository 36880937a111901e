package partfile

import "os"

// reserve does nothing: a full disk is known when the content comes.
func reserve(*os.File, int64) error { return nil }
