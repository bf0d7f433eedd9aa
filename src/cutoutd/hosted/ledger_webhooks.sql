-- Every request to a webhook, one row for each time it was made. Times are UTC microseconds.
CREATE TABLE webhook (
    id       INTEGER PRIMARY KEY,
    -- Written and synced before the first byte leaves:
    message  TEXT    NOT NULL,  -- its id, which the receiver sees
    webhook  TEXT    NOT NULL,  -- whose: `cutoutd.settings.webhooks.webhook_id`
    folder   TEXT    NOT NULL,
    job      INTEGER NOT NULL,  -- the journal's id; 0 for a test
    type     TEXT    NOT NULL,
    what     TEXT    NOT NULL,  -- "sidecar" or "result"
    host     TEXT    NOT NULL,
    sha256   TEXT    NOT NULL,  -- of the body
    bytes    INTEGER NOT NULL,  -- likewise
    attempt  INTEGER NOT NULL,  -- from 1
    began_us INTEGER NOT NULL,
    -- Written after it:
    outcome  TEXT CHECK (outcome IN {any_webhook}),
    status   INTEGER,           -- of HTTP; NULL without an answer
    sent     INTEGER,           -- bytes of the body that were handed to the network; NULL: not known
    took_ms  INTEGER,
    cause    TEXT
) STRICT;

CREATE INDEX webhook_by_receiver ON webhook (webhook, id) WHERE outcome IS NOT NULL;
CREATE INDEX webhook_open ON webhook (id) WHERE outcome IS NULL;
