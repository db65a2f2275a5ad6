-- The journal's tables, schema 1. Instants are whole microseconds since 1970-01-01 UTC.
-- Sequence numbers are rowids without AUTOINCREMENT: a rolled-back row gives its number back, and
-- nothing is ever deleted from `delivery` or `event`, so both are gap-free in commit order.

PRAGMA application_id = 1297044289;  -- "MOSA"

CREATE TABLE delivery (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    content_key  BLOB    UNIQUE,              -- sha256 of event and body; NULL for a replayed copy
    event        TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    received_at  INTEGER NOT NULL,
    duplicates   INTEGER NOT NULL DEFAULT 0,  -- how often the same came again
    collided     INTEGER NOT NULL DEFAULT 0,  -- 1: its own id was taken by another body
    replay_of    INTEGER REFERENCES delivery (seq),
    outcome      TEXT,
    detail       TEXT
);
CREATE INDEX delivery_collided ON delivery (seq) WHERE collided = 1;

-- Apart from `delivery`, so that noting an outcome does not rewrite the bytes and retention can drop them.
CREATE TABLE delivery_body (
    seq     INTEGER PRIMARY KEY REFERENCES delivery (seq),
    headers TEXT NOT NULL,
    body    BLOB NOT NULL
);

CREATE TABLE rejected (
    number      INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    event_type  TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    headers     TEXT    NOT NULL,
    body        BLOB    NOT NULL
);

CREATE TABLE event (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    delivery TEXT,
    kind     TEXT    NOT NULL,
    body     TEXT    NOT NULL
);
CREATE TABLE event_issue (
    issue TEXT    NOT NULL,
    seq   INTEGER NOT NULL REFERENCES event (seq),
    PRIMARY KEY (issue, seq)
) WITHOUT ROWID;

CREATE TABLE orders (
    id        INTEGER PRIMARY KEY,
    key       TEXT    NOT NULL UNIQUE,
    target    TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    body      TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    delivery  TEXT,
    closed_at INTEGER,
    result    TEXT,
    detail    TEXT
);
CREATE INDEX orders_open ON orders (id) WHERE closed_at IS NULL;

CREATE TABLE cursor (
    actor    TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE snapshot (
    actor    TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    state    BLOB    NOT NULL
);

CREATE TABLE text (
    key  TEXT PRIMARY KEY,
    body TEXT NOT NULL
);

CREATE TABLE sample (
    number                INTEGER PRIMARY KEY,
    agent                 TEXT    NOT NULL,
    run                   TEXT    NOT NULL,
    session               INTEGER NOT NULL,
    sampled_at            INTEGER NOT NULL,
    input_tokens          INTEGER NOT NULL,
    cache_read_tokens     INTEGER NOT NULL,
    cache_creation_tokens INTEGER NOT NULL,
    output_tokens         INTEGER NOT NULL,
    window_tokens         INTEGER
);
CREATE INDEX sample_history ON sample (agent, sampled_at);

CREATE TABLE dead_letter (
    id           INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    item         INTEGER,
    message      TEXT    NOT NULL,
    first_error  TEXT    NOT NULL,
    second_error TEXT    NOT NULL,
    replayed_at  INTEGER
);
CREATE INDEX dead_letter_waiting ON dead_letter (id) WHERE replayed_at IS NULL;

-- One row, rewritten to see whether the disk takes writes again.
CREATE TABLE probe (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    pad BLOB NOT NULL
);
