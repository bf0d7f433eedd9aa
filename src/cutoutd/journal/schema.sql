-- The journal. Paths are BLOBs: names need not be UTF-8. Times are UTC microseconds. Sets of states: `cutoutd.jobs`.

CREATE TABLE folder (
    name         TEXT PRIMARY KEY,
    input        BLOB NOT NULL,
    marker       TEXT NOT NULL,    -- UUID of the hot folder's marker file
    device       INTEGER NOT NULL, -- st_dev of the input when it was last healthy
    inode        INTEGER,          -- its st_ino; an earlier version did not record it
    read_only    INTEGER NOT NULL, -- the input is: its marker is kept here alone
    first_run_us INTEGER NOT NULL
) WITHOUT ROWID;

-- All names that folders have or had: a folder is identified by its marker, and its name is a label.
CREATE TABLE label (
    marker TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (marker, name)
) WITHOUT ROWID;

-- One row per version of a source; the newest of each source carries newest = 1.
CREATE TABLE job (
    id            INTEGER PRIMARY KEY,
    folder        TEXT    NOT NULL,
    path          BLOB    NOT NULL,
    generation    INTEGER NOT NULL DEFAULT 0,  -- which of the sources that had this path, one after the other
    size          INTEGER NOT NULL,
    mtime_ns      INTEGER NOT NULL,
    stamp         INTEGER,                     -- of inode and change time, where these are stable
    provisional   INTEGER NOT NULL DEFAULT 0,
    newest        INTEGER NOT NULL DEFAULT 1,
    forced        INTEGER NOT NULL DEFAULT 0,  -- asked for by `retry`: cut even if the bytes are known
    -- The checks are for damage: SQLite's own integrity check asks them of every row.
    state         TEXT    NOT NULL CHECK (state IN {any}),
    session       TEXT,                        -- id of the process that has it in hand
    attempts      INTEGER NOT NULL DEFAULT 0,
    interrupted   INTEGER NOT NULL DEFAULT 0,
    tries         INTEGER NOT NULL DEFAULT 0,
    alone         INTEGER NOT NULL DEFAULT 0,
    accepted_us   INTEGER NOT NULL,
    not_before_us INTEGER NOT NULL DEFAULT 0,
    finished_us   INTEGER,
    sha256        TEXT,                        -- of the source's bytes, once a worker has read them
    cleanup_pending INTEGER NOT NULL DEFAULT 0,  -- the original is still to be moved or deleted
    missing_us    INTEGER,                     -- since when the source was not there, looked for in a healthy folder
    wanted        TEXT,                        -- what a person wants it to come to, whatever its score: `cutoutd.jobs.Wanted`
    model         TEXT    NOT NULL DEFAULT '', -- that a person wants it cut by; empty: the folder's
    options       TEXT    NOT NULL DEFAULT '', -- what a request asked of it: `cutoutd.job_options`; empty: nothing
    detail        TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(detail)),
    -- What lists go by. SQLite itself derives it from `detail`, also in rows that an earlier version wrote.
    mark          INTEGER AS (CASE  -- 1: it may well be wrong; 2: a person rejected it
      WHEN state = 'review' OR (state IN {released} AND json_extract(detail, '$.doubtful') IS NOT NULL) THEN 1
      WHEN state = 'failed' AND json_extract(detail, '$.failure.code') = 'Rejected' THEN 2
      ELSE 0 END) STORED,
    score         REAL AS (CASE
      WHEN json_type(detail, '$.score') IN ('real', 'integer') THEN json_extract(detail, '$.score') END) STORED
);
CREATE UNIQUE INDEX job_newest ON job (folder, path) WHERE newest = 1;
CREATE INDEX job_queued ON job (folder, alone, mtime_ns, id) WHERE state = 'queued';
CREATE INDEX job_queued_newest ON job (folder, alone, mtime_ns DESC, id DESC) WHERE state = 'queued';
CREATE INDEX job_sidecar_behind ON job (folder) WHERE json_extract(detail, '$.sidecar_behind') IS NOT NULL;
CREATE INDEX job_cleanup_pending ON job (folder) WHERE cleanup_pending = 1;
CREATE INDEX job_resting ON job (not_before_us) WHERE state = 'retry';
CREATE INDEX job_active ON job (folder, path) WHERE state IN {active};
CREATE INDEX job_uploading ON job (folder) WHERE state = 'uploading';
CREATE INDEX job_state ON job (state, folder, newest);
CREATE INDEX job_published ON job (folder, finished_us) WHERE state IN {cut};
CREATE INDEX job_listed ON job (folder, state, mark, finished_us, accepted_us, score) WHERE newest = 1;
CREATE INDEX job_older ON job (folder, path) WHERE newest = 0;
CREATE INDEX job_past ON job (folder, finished_us) WHERE newest = 0;
CREATE INDEX job_rejected ON job (folder, size, sha256)
    WHERE state = 'failed' AND sha256 IS NOT NULL AND json_extract(detail, '$.failure.code') = 'Rejected';
CREATE INDEX job_decided ON job (folder, id) WHERE newest = 1 AND json_extract(detail, '$.decision') IS NOT NULL;
CREATE INDEX job_missing ON job (folder, size, state, mtime_ns) WHERE newest = 1 AND missing_us IS NOT NULL;
CREATE INDEX job_vanished ON job (folder, sha256, state) WHERE newest = 1 AND missing_us IS NOT NULL;

-- Reservations: a name belongs to one source, over all folders, from before its first publication on. A source is a folder, a
-- path and a generation: once it is gone, a new file at its path is another source.
CREATE TABLE reservation (
    key        BLOB PRIMARY KEY,   -- the absolute path, NFC and casefolded
    folder     TEXT NOT NULL,
    path       BLOB NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX reservation_source ON reservation (folder, path);

-- What is published for a source, and so may be replaced.
CREATE TABLE output (
    folder     TEXT    NOT NULL,
    path       BLOB    NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    rendition  INTEGER NOT NULL,
    review     INTEGER NOT NULL,
    target     BLOB    NOT NULL,   -- in the folder's output
    sha256     TEXT    NOT NULL,
    PRIMARY KEY (folder, path, generation, rendition, review)
) WITHOUT ROWID;
CREATE INDEX output_sha256 ON output (sha256);

-- The published versions. A source with a generation below 0 is displaced: another picture was moved to its result's name, or to
-- its path. Its own picture may be elsewhere by now, without a job that is over.
CREATE TABLE published (
    folder     TEXT    NOT NULL,
    path       BLOB    NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    sha256     TEXT    NOT NULL,
    image_sha256 TEXT,                   -- of the picture's data apart from its metadata, where that is known
    gone       INTEGER NOT NULL DEFAULT 0, -- the original was moved or deleted by us, or was not there to be adopted
    published_us INTEGER,                -- when, or when it was adopted
    size         INTEGER,                -- of the version
    mtime_ns     INTEGER,
    kept_us      INTEGER,                -- since when its result lies under a private name, for its picture to turn up
    returns      INTEGER NOT NULL DEFAULT 0, -- that result gets a name again if its picture turns up nowhere
    PRIMARY KEY (folder, path, generation)
) WITHOUT ROWID;
CREATE INDEX published_looks ON published (folder, size, mtime_ns, sha256);
CREATE INDEX published_displaced ON published (folder, size, sha256) WHERE generation < 0;

-- Corrections of a source's cutout, the newest last: each row has all strokes that hold from then on. It belongs to these bytes
-- of the source, and is dropped for others.
CREATE TABLE correction (
    folder     TEXT    NOT NULL,
    path       BLOB    NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    number     INTEGER NOT NULL,   -- 1 and up
    sha256     TEXT    NOT NULL,   -- of the source's bytes
    suggestion INTEGER NOT NULL DEFAULT 0,
    strokes    TEXT    NOT NULL CHECK (json_valid(strokes)),
    was_held   INTEGER NOT NULL DEFAULT 0, -- the cutout before it was in review
    drawn_us   INTEGER NOT NULL,
    PRIMARY KEY (folder, path, generation, number)
) WITHOUT ROWID;

-- Commands to the daemon, running or not: it reads them when the file's data_version changes.
CREATE TABLE command (
    id        INTEGER PRIMARY KEY AUTOINCREMENT, -- never that of an earlier one, whose outcome somebody may still ask for
    verb      TEXT    NOT NULL,
    argument  TEXT    NOT NULL DEFAULT '',
    posted_us INTEGER NOT NULL,
    refused   TEXT,                -- why it cannot be carried out; it is not tried again
    seen      TEXT,                -- SHA-256 of the result that the person saw; NULL: it may be any
    batch     INTEGER              -- the decisions of one moment
);
CREATE INDEX command_about ON command (argument) WHERE refused IS NULL;
CREATE INDEX command_batch ON command (batch) WHERE batch IS NOT NULL;

-- Submissions, each once, under a key that the program chooses: complete in the input's directory for them, on the way to a
-- name of their own, or accepted. Kept for a while after that, so that the same request gets the same answer.
CREATE TABLE submission (
    key       TEXT PRIMARY KEY,
    folder    TEXT    NOT NULL,
    spool     TEXT    NOT NULL,          -- its file, in the directory `cutoutd.intake.incoming` of the input
    name      TEXT    NOT NULL,          -- that it is to have, if that is free
    options   TEXT    NOT NULL DEFAULT '',
    digest    TEXT    NOT NULL DEFAULT '', -- of the request, as whoever hands it in counts that
    posted_us INTEGER NOT NULL,
    path      BLOB,                      -- that it gets; written down before the file is renamed
    job       INTEGER,                   -- once it is accepted
    refused   TEXT,                      -- why it is not, in words
    refusal   TEXT                       -- which kind of refusal that is
) WITHOUT ROWID;
CREATE INDEX submission_pending ON submission (folder, posted_us) WHERE job IS NULL AND refused IS NULL;
CREATE INDEX submission_age ON submission (posted_us);

-- Batches of people's decisions, so that each can be undone as a whole.
CREATE TABLE batch (
    id        INTEGER PRIMARY KEY,
    verb      TEXT    NOT NULL,
    posted_us INTEGER NOT NULL,
    undone_us INTEGER
);
CREATE TABLE decided (
    job      INTEGER NOT NULL,
    batch    INTEGER NOT NULL,
    seen     TEXT    NOT NULL,     -- SHA-256 of the result that the person saw
    state    TEXT    NOT NULL,     -- of the job before
    mark     INTEGER NOT NULL,     -- likewise
    decision TEXT    NOT NULL,     -- that held before, carried out or not; empty for none
    undone   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, batch)
) WITHOUT ROWID;
CREATE INDEX decided_batch ON decided (batch);

-- Requests that were answered, by names that whoever asks chooses, so that one that is sent again is carried out once.
CREATE TABLE answered (
    request     TEXT PRIMARY KEY,
    answer      TEXT    NOT NULL CHECK (json_valid(answer)),
    answered_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX answered_age ON answered (answered_us);

CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    started_us INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Folders with webhooks, and their ended jobs that are not handed over yet, in order. The trigger writes a row in the transaction
-- that ends the job, so that none is forgotten, whatever ends the job, and no crash comes in between.
CREATE TABLE telling_folder (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE ended (
    id     INTEGER PRIMARY KEY,
    folder TEXT    NOT NULL,
    job    INTEGER NOT NULL,
    path   BLOB    NOT NULL,
    state  TEXT    NOT NULL,
    at_us  INTEGER NOT NULL,
    sha256 TEXT,                   -- of the source's bytes
    detail TEXT    NOT NULL        -- of the job at its end: by now it may be in work again
);
CREATE INDEX ended_in_folder ON ended (folder, id);
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job
WHEN NEW.state IN {reported} AND OLD.state <> NEW.state AND EXISTS (SELECT 1 FROM telling_folder WHERE name = NEW.folder)
BEGIN
    INSERT INTO ended (folder, job, path, state, at_us, sha256, detail)
    VALUES (NEW.folder, NEW.id, NEW.path, NEW.state, COALESCE(NEW.finished_us, 0), NEW.sha256, NEW.detail);
END;
