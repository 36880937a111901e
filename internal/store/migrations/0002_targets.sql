-- Compute targets that were attached. The one that is built in has no row.
CREATE TABLE targets (
    name        TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    instance    INTEGER NOT NULL,
    config      TEXT NOT NULL, -- JSON, without secret values
    facts       TEXT NOT NULL, -- JSON: what attaching found
    machine_id  TEXT NOT NULL, -- of the machine itself, empty: it has none
    host_key    TEXT NOT NULL, -- fingerprint
    attached_at INTEGER NOT NULL,
    checked_at  INTEGER
) STRICT, WITHOUT ROWID;

-- Sealed values only.
CREATE TABLE target_secrets (
    target TEXT NOT NULL REFERENCES targets (name) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (target, name)
) STRICT, WITHOUT ROWID;

-- Targets, built in or attached, whose queue grants nothing.
CREATE TABLE stopped_queues (
    target TEXT PRIMARY KEY,
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
