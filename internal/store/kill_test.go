package store_test

func runWriterProcess() bool { return false }
