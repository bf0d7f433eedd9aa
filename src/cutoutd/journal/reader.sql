-- Read-only counts and pages.

-- fragment: waits
state IN {waiting}

-- name: counts
SELECT folder, state, COUNT(*) AS n FROM job WHERE newest = 1 GROUP BY state, folder

-- name: waiting_by_folder
SELECT folder, COUNT(*) AS n FROM job WHERE {waits} GROUP BY folder

-- name: waiting_by_state
SELECT state, COUNT(*) AS n FROM job WHERE {waits} GROUP BY state

-- The first condition is that of the index.
-- name: count_published_since
SELECT COUNT(*) AS n FROM job WHERE state IN {cut} AND state = 'done' AND folder = :folder AND finished_us >= :since_us

-- name: work_since
SELECT finished_us, json_extract(detail, '$.seconds') AS s FROM job
WHERE state IN {cut} AND folder = :folder AND finished_us >= :since_us ORDER BY finished_us DESC LIMIT :limit

-- name: seconds
SELECT json_extract(detail, '$.seconds') AS s FROM job
WHERE state IN {cut} AND folder = :folder ORDER BY finished_us DESC LIMIT :limit

-- name: last_cut
SELECT * FROM job WHERE state IN {cut} AND folder = :folder ORDER BY finished_us DESC LIMIT 1

-- name: count_doubtful
SELECT COUNT(*) AS n FROM job WHERE newest = 1 AND state IN {released} AND folder = :folder AND mark = 1

-- name: count_originals_to_go
SELECT COUNT(*) AS n FROM job WHERE folder = :folder AND cleanup_pending = 1 AND state IN {released}

-- name: skipped
SELECT COALESCE(json_extract(detail, '$.why'), '') AS why, COUNT(*) AS n FROM job
WHERE newest = 1 AND state = 'skipped' AND folder = :folder GROUP BY why ORDER BY n DESC

-- fragment: has_failed
newest = 1 AND state = 'failed' AND {rejected} IS NOT TRUE

-- name: count_failed
SELECT COUNT(*) AS n FROM job WHERE {has_failed}

-- name: count_rejected
SELECT COUNT(*) AS n FROM job
WHERE newest = 1 AND state = 'failed' AND {rejected} AND (:folder IS NULL OR folder = :folder)

-- name: last_failed
SELECT * FROM job WHERE {has_failed} AND folder = :folder ORDER BY finished_us DESC LIMIT :limit

-- name: latest_us
SELECT MAX(MAX(accepted_us, COALESCE(finished_us, 0))) AS us
FROM (SELECT accepted_us, finished_us FROM job ORDER BY id DESC LIMIT 1000)

-- name: newest_id
SELECT id FROM job WHERE {newest}

-- name: page_of_jobs
SELECT * FROM job
WHERE id > :after AND (:state IS NULL OR state = :state) AND (:folder IS NULL OR folder = :folder)
ORDER BY id LIMIT :limit

-- name: page_of_newest
SELECT * FROM job WHERE id > :after AND newest = 1 ORDER BY id LIMIT :limit

-- name: remaining
SELECT * FROM job
WHERE folder = :folder AND (state IN {open} OR (state = 'unknown' AND newest = 1)) ORDER BY id

-- name: sources_of_result
SELECT path, generation FROM output WHERE folder = :folder AND target = :target AND generation >= 0
