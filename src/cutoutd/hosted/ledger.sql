-- Every upload, one row for each time a picture was sent. Times are UTC microseconds.
CREATE TABLE upload (
    id            INTEGER PRIMARY KEY,
    -- Written and synced before the first byte leaves:
    request       TEXT    NOT NULL,  -- the parcel's id
    folder        TEXT    NOT NULL,
    job           INTEGER NOT NULL,  -- the journal's id
    why           TEXT    NOT NULL,
    sha256        TEXT    NOT NULL,  -- of what was sent
    source_sha256 TEXT    NOT NULL,  -- of the original it was made from
    bytes         INTEGER NOT NULL,  -- of the picture
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    provider      TEXT    NOT NULL,
    host          TEXT    NOT NULL,
    options       TEXT    NOT NULL,
    again         INTEGER NOT NULL,  -- a person asked for it, though it may have been billed before
    expected      REAL    NOT NULL,  -- credits
    began_us      INTEGER NOT NULL,
    -- Written after it:
    outcome       TEXT CHECK (outcome IN {any}),
    status        INTEGER,           -- of HTTP; NULL without an answer
    sent          INTEGER,           -- bytes of the picture that were handed to the network; NULL: not known
    credits       REAL,              -- as the provider said; NULL: it did not
    took_ms       INTEGER,
    body          TEXT,              -- what the reply is
    reply_sha256  TEXT,
    reply_bytes   INTEGER,
    cause         TEXT
) STRICT;

CREATE INDEX upload_by_time ON upload (began_us);
CREATE INDEX upload_by_request ON upload (request);
CREATE INDEX upload_by_content ON upload (sha256);
CREATE INDEX upload_open ON upload (id) WHERE outcome IS NULL;
