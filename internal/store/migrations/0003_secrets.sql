-- Secrets that were stored by name, for targets to refer to. Sealed values only.
CREATE TABLE stored_secrets (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
