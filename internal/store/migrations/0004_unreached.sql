-- Since when a target is not reached; NULL: it was, the last time.
ALTER TABLE targets ADD COLUMN unreached_at INTEGER;
