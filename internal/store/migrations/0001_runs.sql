-- Times are nanoseconds since 1970 UTC. JSON columns hold what is never
-- searched for. Texts that have no value are empty; what may be unknown is NULL.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of submission
    id                  TEXT NOT NULL UNIQUE,
    request_id          TEXT UNIQUE,
    experiment          TEXT NOT NULL,
    display_name        TEXT NOT NULL,
    target              TEXT NOT NULL,
    state               TEXT NOT NULL,
    outcome             TEXT,
    exit_code           INTEGER,
    signal              TEXT NOT NULL,
    message             TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    started_at          INTEGER,
    ended_at            INTEGER,
    tags                TEXT, -- JSON object
    snapshot            TEXT NOT NULL,
    environment         TEXT NOT NULL,
    priority            INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    rerun_of            TEXT NOT NULL,
    -- what the queue asks of the spec
    resources           TEXT NOT NULL, -- JSON
    vm_priority         TEXT NOT NULL,
    last_seq            INTEGER NOT NULL
) STRICT;

CREATE INDEX runs_experiment ON runs (experiment, n);
CREATE INDEX runs_target ON runs (target, n);
CREATE INDEX runs_state ON runs (state, n);

-- The heavy part of a run, written once.
CREATE TABLE specs (
    run      INTEGER PRIMARY KEY REFERENCES runs (n) ON DELETE CASCADE,
    config   TEXT, -- JSON
    resolved TEXT  -- JSON
) STRICT;

CREATE TABLE attempts (
    run               INTEGER NOT NULL REFERENCES runs (n) ON DELETE CASCADE,
    number            INTEGER NOT NULL,
    state             TEXT NOT NULL,
    outcome           TEXT,
    exit_code         INTEGER,
    signal            TEXT NOT NULL,
    message           TEXT NOT NULL,
    node              TEXT NOT NULL,
    handle            TEXT NOT NULL,
    started_at        INTEGER,
    ended_at          INTEGER,
    granted_at        INTEGER,
    allocation        TEXT NOT NULL, -- JSON
    stop_requested_at INTEGER,
    stop_for          TEXT NOT NULL,
    collected         INTEGER NOT NULL,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    run        INTEGER NOT NULL REFERENCES runs (n) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    time       INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    why        TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Sealed values only; gone when the run ends.
CREATE TABLE secrets (
    run    INTEGER NOT NULL REFERENCES runs (n) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

-- The exact versions a run's environment had.
CREATE TABLE locks (
    run  INTEGER PRIMARY KEY REFERENCES runs (n) ON DELETE CASCADE,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE environments (
    name       TEXT PRIMARY KEY,
    digest     TEXT NOT NULL,
    spec       TEXT, -- JSON
    resolved   TEXT, -- JSON
    created_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX environments_digest ON environments (digest);
