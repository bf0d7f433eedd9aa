-- Versions of sources: accepted, missing, adopted, over.

-- fragment: newest
folder = :folder AND path = :path AND newest = 1

-- fragment: source
folder = :folder AND path = :path AND generation = :generation

-- name: insert_job
INSERT INTO job (folder, path, generation, size, mtime_ns, stamp, provisional, state, accepted_us, finished_us, sha256, detail)
VALUES (:folder, :path, :generation, :size, :mtime_ns, :stamp, :provisional, :state, :accepted_us, :finished_us, :sha256, :detail)

-- name: revive
UPDATE job SET state = 'queued', finished_us = NULL, missing_us = NULL, tries = 0, detail = '{}', stamp = :stamp, provisional = :provisional
WHERE id = :job

-- name: newest_version
SELECT id, generation, missing_us, state, size, mtime_ns, forced, finished_us, sha256, accepted_us,
  cleanup_pending FROM job WHERE {newest}

-- name: replace_waiting
UPDATE job SET state = 'gone', finished_us = :now_us, detail = '{"why": "replaced by a newer version"}' WHERE id = :job

-- name: make_older
UPDATE job SET newest = 0 WHERE id = :job

-- name: set_missing
UPDATE job SET missing_us = :missing_us WHERE {newest}

-- name: set_stamp
UPDATE job SET stamp = :stamp WHERE {newest}

-- name: doubt_newest
UPDATE job SET provisional = 1 WHERE {newest}

-- name: released_us
SELECT accepted_us FROM job WHERE {newest} AND state IN {released}

-- name: page_of_versions
SELECT path, size, mtime_ns, provisional, stamp, missing_us, state FROM job
WHERE folder = :folder AND newest = 1 AND path > :after ORDER BY path LIMIT :limit

-- All paths between these two differ only in the extension.
-- name: published_recordings
SELECT path, generation, gone, published_us FROM published
WHERE folder = :folder AND path > :after AND path < :before AND generation >= 0

-- name: recordings
SELECT path, generation, state, missing_us, finished_us, json_extract(detail, '$.own_result') IS NOT NULL AS is_result FROM job
WHERE folder = :folder AND path > :after AND path < :before AND newest = 1

-- Of a version that the journal has a row for.
-- name: adopt
UPDATE job SET state = :state, finished_us = :at_us, sha256 = :sha256, detail = :detail WHERE id = :job

-- fragment: adopted_publication
INTO published (folder, path, generation, sha256, image_sha256, gone, published_us, size, mtime_ns)
VALUES (:folder, :path, :generation, :sha256, :image_sha256, :gone, :now_us, :size, :mtime_ns)

-- name: adopt_publication
INSERT OR REPLACE {adopted_publication}

-- name: adopt_earlier_publication
INSERT OR IGNORE {adopted_publication}

-- What is still to be done, or has an original that is still to be moved or deleted, is not history.
-- fragment: is_history
state NOT IN {unfinished} AND cleanup_pending = 0

-- fragment: trimmed
SELECT id FROM job WHERE newest = 0 AND folder = :folder AND finished_us < :before_us AND {is_history} LIMIT :limit

-- name: find_trimmed
{trimmed}

-- name: trim
DELETE FROM job WHERE id IN ({trimmed})

-- name: page_of_ended
SELECT path, missing_us, finished_us < :before_us AND {is_history} AS ended FROM job
WHERE folder = :folder AND newest = 1 AND path > :after ORDER BY path LIMIT :limit

-- In two halves, since there is an index for each.
-- name: is_newest_unfinished
SELECT 1 FROM job WHERE {newest} AND NOT ({is_history})

-- name: is_any_older_unfinished
SELECT 1 FROM job WHERE folder = :folder AND path = :path AND newest = 0 AND NOT ({is_history})

-- A displaced result has no other way to a name: it is removed once its picture is found, or it has a name again.
-- fragment: not_displaced
folder = :folder AND path = :path AND generation NOT IN (
  SELECT generation FROM published WHERE folder = :folder AND path = :path AND kept_us IS NOT NULL)

-- name: forget_source
DELETE FROM job WHERE {newest};
DELETE FROM job WHERE folder = :folder AND path = :path AND newest = 0;
DELETE FROM output WHERE {not_displaced};
DELETE FROM reservation WHERE {not_displaced};
DELETE FROM correction WHERE {not_displaced};
DELETE FROM published WHERE {not_displaced}

-- Each by the partial index of its own.
-- name: had_bytes
SELECT EXISTS (SELECT 1 FROM job WHERE folder = :folder AND path = :path AND newest = 1 AND sha256 = :sha256 AND id <> :job)
  OR EXISTS (SELECT 1 FROM job WHERE folder = :folder AND path = :path AND newest = 0 AND sha256 = :sha256 AND id <> :job)
  OR EXISTS (SELECT 1 FROM published WHERE folder = :folder AND path = :path AND sha256 = :sha256)
