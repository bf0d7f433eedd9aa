-- Names and results of sources; moved sources; displaced sources.

-- name: reserve
INSERT INTO reservation (key, folder, path, generation) VALUES (:key, :folder, :path, :generation)
ON CONFLICT (key) DO NOTHING

-- name: owner_of_name
SELECT folder, path, generation FROM reservation WHERE key = :key

-- name: outputs
SELECT rendition, review, target, sha256 FROM output WHERE {source}

-- name: is_result
SELECT 1 FROM output WHERE sha256 = :sha256 LIMIT 1

-- name: was_left_out
SELECT 1 FROM job INDEXED BY job_vanished
WHERE folder = :folder AND newest = 1 AND missing_us IS NOT NULL AND sha256 = :sha256 AND state = 'skipped'
  AND json_extract(detail, '$.own_result') IS NOT NULL
LIMIT 1

-- name: outputs_of_earlier
SELECT target FROM output WHERE folder = :folder AND path = :path AND generation BETWEEN 0 AND :last

-- name: put_output
INSERT OR REPLACE INTO output (folder, path, generation, rendition, review, target, sha256)
VALUES (:folder, :path, :generation, :rendition, :review, :target, :sha256)

-- name: add_output
INSERT OR IGNORE INTO output (folder, path, generation, rendition, review, target, sha256)
VALUES (:folder, :path, :generation, :rendition, :review, :target, :sha256)

-- name: forget_recalled
DELETE FROM output WHERE {source} AND review = 0

-- name: forget_doubtful
DELETE FROM output WHERE {source} AND review = 1

-- A displaced source has another generation than its jobs; its bytes are the same.
-- fragment: last_result
folder = :folder AND path = :path AND state IN {has_result} AND json_type(detail, '$.outputs') IS NOT NULL
AND (:generation IS NULL OR sha256 = (
  SELECT p.sha256 FROM published AS p
  WHERE p.folder = job.folder AND p.path = job.path AND p.generation = :generation))
ORDER BY id DESC LIMIT 1

-- Written out, as the partial indexes are.
-- name: last_result_of_newest
SELECT state, detail FROM job WHERE newest = 1 AND {last_result}

-- name: last_result_of_older
SELECT state, detail FROM job WHERE newest = 0 AND {last_result}

-- name: last_published
SELECT sha256, generation, image_sha256, gone FROM published
WHERE folder = :folder AND path = :path AND generation >= 0 ORDER BY generation DESC LIMIT 1

-- name: published
SELECT * FROM published WHERE {source}

-- The hash of the data without metadata stays, if the bytes do.
-- name: record_publication
INSERT INTO published (folder, path, generation, sha256, image_sha256, published_us, size, mtime_ns)
VALUES (:folder, :path, :generation, :sha256, :image_sha256, :now_us, :size, :mtime_ns)
ON CONFLICT (folder, path, generation) DO UPDATE SET
  sha256 = excluded.sha256, gone = 0, published_us = excluded.published_us,
  size = excluded.size, mtime_ns = excluded.mtime_ns,
  image_sha256 = COALESCE(excluded.image_sha256, CASE WHEN sha256 = excluded.sha256 THEN image_sha256 END)

-- name: forget_publication
DELETE FROM published WHERE {source}

-- name: set_gone
UPDATE published SET gone = :gone WHERE {source}

-- name: set_published_bytes
UPDATE correction SET sha256 = :sha256 WHERE {source}
  AND sha256 = (SELECT p.sha256 FROM published AS p WHERE p.folder = :folder AND p.path = :path AND p.generation = :generation);
UPDATE published SET sha256 = :sha256, size = :size, mtime_ns = :mtime_ns WHERE {source}

-- Corrections.

-- name: corrections
SELECT * FROM correction WHERE {source} ORDER BY number

-- name: last_correction
SELECT * FROM correction WHERE {source} ORDER BY number DESC LIMIT 1

-- name: insert_correction
INSERT INTO correction (folder, path, generation, number, sha256, suggestion, strokes, was_held, drawn_us)
SELECT :folder, :path, :generation, COALESCE(MAX(number), 0) + 1, :sha256, :suggestion, :strokes, :was_held, :now_us
FROM correction WHERE {source};
DELETE FROM correction WHERE {source} AND number <= (SELECT MAX(number) FROM correction WHERE {source}) - :kept

-- A correction that is already here is kept.
-- name: adopt_correction
INSERT INTO correction (folder, path, generation, number, sha256, suggestion, strokes, drawn_us)
SELECT :folder, :path, :generation, :number, :sha256, :suggestion, :strokes, :now_us
WHERE NOT EXISTS (SELECT 1 FROM correction WHERE {source})

-- name: remove_correction
DELETE FROM correction WHERE {source} AND number = :number

-- name: remove_corrections
DELETE FROM correction WHERE {source} AND (:sha256 IS NULL OR sha256 <> :sha256)

-- Moves.

-- fragment: vanished
FROM job AS j JOIN published AS p ON p.folder = j.folder AND p.path = j.path AND p.generation = j.generation
WHERE j.folder = :folder AND j.newest = 1 AND j.missing_us IS NOT NULL AND j.state IN {has_result} AND p.gone = 0

-- fragment: rejected_alike
FROM job INDEXED BY job_rejected
WHERE folder = :folder AND size = :size AND state = 'failed' AND sha256 IS NOT NULL AND {rejected} AND path <> :path

-- fragment: displaced_alike
FROM published WHERE folder = :folder AND size = :size AND generation < 0 AND gone = 0

-- A rename keeps the time. The earlier path may have another file by now that was not accepted yet.
-- fragment: looks_alike
FROM published
WHERE folder = :folder AND size = :size AND mtime_ns = :mtime_ns AND generation >= 0 AND gone = 0
  AND NOT (path = :path AND generation = :generation)

-- fragment: is_doubtful
(SELECT COUNT(*) > 0 AND MIN(o.review) = 1 FROM output AS o
 WHERE o.folder = published.folder AND o.path = published.path AND o.generation = published.generation)

-- name: vanished_candidates
SELECT p.sha256 {vanished} AND j.size = :size LIMIT :limit

-- name: rejected_candidates
SELECT sha256 {rejected_alike} LIMIT :limit

-- name: displaced_candidates
SELECT sha256 {displaced_alike} LIMIT :limit

-- name: alike_candidates
SELECT sha256 {looks_alike} LIMIT :limit

-- name: displaced_origins
SELECT path, generation, {is_doubtful} AS review {displaced_alike} AND sha256 = :sha256 LIMIT :limit

-- name: vanished_origins
SELECT j.path, j.generation, j.state = 'review' AS review {vanished}
AND j.sha256 = :sha256 AND p.sha256 = j.sha256 LIMIT :limit

-- name: alike_origins
SELECT path, generation, {is_doubtful} AS review {looks_alike} AND sha256 = :sha256 LIMIT :limit

-- fragment: later_one
SELECT 1 FROM job AS later
WHERE later.folder = job.folder AND later.path = job.path AND later.id > job.id AND later.sha256 = job.sha256

-- name: rejected_sources
SELECT *, newest = 1 AND missing_us IS NOT NULL AS vanished {rejected_alike} AND sha256 = :sha256
-- Written out, as the partial indexes are.
AND NOT (EXISTS ({later_one} AND later.newest = 1) OR EXISTS ({later_one} AND later.newest = 0))
ORDER BY vanished DESC, path LIMIT :limit

-- name: end_rejected
UPDATE job SET state = 'gone', cleanup_pending = 0, detail = :detail WHERE id = :job AND state = 'failed'

-- name: left_behind
SELECT * FROM job
WHERE folder = :folder AND newest = 1 AND missing_us IS NOT NULL AND size = :size AND mtime_ns = :mtime_ns
  AND state IN {without_result} AND path <> :path
LIMIT :limit

-- fragment: has_only_doubtful
{source} AND NOT EXISTS (SELECT 1 FROM output WHERE {source} AND review = 0)

-- name: close_source
DELETE FROM reservation WHERE {has_only_doubtful};
DELETE FROM output WHERE {has_only_doubtful};
DELETE FROM published WHERE {has_only_doubtful};
DELETE FROM output WHERE {source} AND review = 1;
UPDATE job SET state = 'gone', cleanup_pending = 0, detail = :detail WHERE id = :job

-- While a plan waits, another picture may come to the path, and displace this one's result.
-- name: origin_of_plan
SELECT path, generation FROM published
WHERE folder = :folder AND path = :path AND sha256 = :sha256 AND (generation = :generation OR generation < 0)
ORDER BY generation DESC LIMIT 1

-- name: take_name
UPDATE reservation SET path = :path, generation = :generation
WHERE key = :key AND folder = :folder AND path = :from_path AND generation = :from_generation

-- fragment: moves_here
path = :path, generation = :generation
WHERE folder = :folder AND path = :from_path AND generation = :from_generation

-- name: move_source
UPDATE OR REPLACE reservation SET {moves_here};
UPDATE OR REPLACE output SET {moves_here};
UPDATE OR REPLACE published SET {moves_here};
UPDATE OR REPLACE correction SET {moves_here};
UPDATE published SET mtime_ns = :mtime_ns, kept_us = NULL, returns = 0 WHERE {source}

-- name: move_corrections
UPDATE OR REPLACE correction SET {moves_here}

-- name: remove_source
DELETE FROM correction WHERE {source};
DELETE FROM reservation WHERE {source};
DELETE FROM output WHERE {source};
DELETE FROM published WHERE {source}

-- fragment: ended_by_move
{newest} AND generation = :generation AND state IN {has_result}

-- name: version_that_moved
SELECT size, mtime_ns FROM job WHERE {ended_by_move}

-- Whether or not the file's absence was noticed: it may come back before that, and has no result here any more.
-- name: end_moved
UPDATE job SET state = 'gone', detail = :detail WHERE {ended_by_move}

-- Displaced sources: they get a generation below 0, which no job has.

-- name: publications_at_path
SELECT generation, size, mtime_ns FROM published
WHERE folder = :folder AND path = :path AND generation BETWEEN 0 AND :last AND gone = 0

-- name: lowest_generation
SELECT MIN(generation) AS lowest FROM published WHERE folder = :folder AND path = :path

-- name: displace
UPDATE reservation SET generation = :displaced WHERE {source};
UPDATE output SET generation = :displaced WHERE {source};
UPDATE published SET generation = :displaced WHERE {source};
UPDATE correction SET generation = :displaced WHERE {source}

-- name: release_names
DELETE FROM reservation WHERE {source}

-- name: keep_output
UPDATE output SET target = :target WHERE {source} AND rendition = :rendition AND review = :review

-- name: set_kept
UPDATE published SET kept_us = :kept_us, returns = :returns WHERE {source}

-- name: kept
SELECT path, generation, size, mtime_ns, kept_us, returns FROM published INDEXED BY published_displaced
WHERE folder = :folder AND generation < 0 AND kept_us IS NOT NULL

-- name: remove_outputs
DELETE FROM output WHERE {source}

-- name: insert_kept
INSERT INTO published (folder, path, generation, sha256, published_us, size, mtime_ns, kept_us, returns)
VALUES (:folder, :path, :generation, :sha256, :now_us, :size, :mtime_ns, :now_us, 1)

-- name: kept_outputs
SELECT target FROM output WHERE folder = :folder AND path = :path AND generation < 0

-- name: output_by_target
SELECT 1 FROM output WHERE target = :target LIMIT 1

-- name: owner_of_output
SELECT generation FROM output
WHERE folder = :folder AND path = :path AND generation >= 0 AND target = :target AND sha256 = :sha256

-- fragment: job_alike
SELECT 1 FROM job WHERE folder = :folder AND mtime_ns = :mtime_ns AND size = :size AND path <> :path

-- Written out, as the partial indexes are.
-- name: queued_alike
{job_alike} AND state = 'queued' AND alone IN (0, 1) LIMIT 1

-- name: active_alike
{job_alike} AND state IN {active} LIMIT 1

-- name: resting_alike
{job_alike} AND state = 'retry' LIMIT 1
