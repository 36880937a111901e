package store

// Schema is the newest version of the database that this program knows.
func Schema() int {
	all, err := migrations()
	if err != nil || len(all) == 0 {
		return 0 // the embedded files are broken, and Open says so
	}
	return all[len(all)-1].version
}
