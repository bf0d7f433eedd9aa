-- Lists of pictures for people, by the newest version of each source: counted, filtered, sorted, a page at a time.

-- fragment: listed
FROM job INDEXED BY job_listed
WHERE newest = 1 AND (folder, state, mark) IN (
  SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:kinds))

-- Reasons are stored since version 6; before, only the texts contained them.
-- fragment: narrowed
{listed}
AND (:score_below IS NULL OR score < :score_below)
AND (:name IS NULL OR id IN (
  SELECT id FROM job INDEXED BY job_newest WHERE newest = 1 AND CAST(path AS TEXT) LIKE :name ESCAPE '\'))
AND (:reason IS NULL OR instr(COALESCE(json_extract(detail, '$.reasons'), json_extract(detail, '$.why')), :reason))

-- name: kinds_of_jobs
SELECT folder, state, mark, COUNT(*) AS n FROM job INDEXED BY job_listed WHERE newest = 1 GROUP BY folder, state, mark

-- name: newest_of_kind
SELECT id, COALESCE(finished_us, accepted_us) AS at_us FROM job INDEXED BY job_listed
WHERE newest = 1 AND folder = :folder AND state = :state AND mark = :mark
ORDER BY finished_us DESC, accepted_us DESC, id DESC LIMIT :limit

-- name: oldest_of_kind
SELECT id, COALESCE(finished_us, accepted_us) AS at_us FROM job INDEXED BY job_listed
WHERE newest = 1 AND folder = :folder AND state = :state AND mark = :mark
ORDER BY finished_us, accepted_us, id LIMIT :limit

-- name: listed_newest
SELECT id {narrowed} ORDER BY COALESCE(finished_us, accepted_us) DESC, id DESC LIMIT :limit OFFSET :offset

-- name: listed_oldest
SELECT id {narrowed} ORDER BY COALESCE(finished_us, accepted_us), id LIMIT :limit OFFSET :offset

-- name: listed_by_score
SELECT id {narrowed} ORDER BY score IS NULL, score, id LIMIT :limit OFFSET :offset

-- name: listed_by_doubt
SELECT id {narrowed} ORDER BY mark = 1 DESC, score IS NULL, score, id LIMIT :limit OFFSET :offset

-- name: listed_by_name
SELECT id {narrowed} ORDER BY folder, path LIMIT :limit OFFSET :offset

-- For very many, without sorting them.
-- name: walked_by_name
SELECT id FROM job INDEXED BY job_newest
WHERE newest = 1 AND folder IN (SELECT json_extract(value, '$[0]') FROM json_each(:kinds))
AND (folder, state, mark) IN (
  SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:kinds))
ORDER BY folder, path LIMIT :limit OFFSET :offset

-- name: jobs_by_number
SELECT * FROM job WHERE id IN (SELECT value FROM json_each(:jobs))

-- name: outputs_of_jobs
SELECT j.id AS job, o.rendition, o.review, o.target, o.sha256 FROM json_each(:jobs) AS one
JOIN job AS j ON j.id = one.value
JOIN output AS o ON o.folder = j.folder AND o.path = j.path AND o.generation = j.generation
WHERE o.rendition >= 0 AND o.review = (j.state = 'review') ORDER BY j.id, o.rendition

-- name: first_outputs_of_jobs
SELECT one.value AS job, (
  SELECT o.sha256 FROM output AS o
  WHERE o.folder = j.folder AND o.path = j.path AND o.generation = j.generation AND o.rendition >= 0
    AND o.review = (j.state = 'review')
  ORDER BY o.rendition LIMIT 1) AS sha256
FROM json_each(:jobs) AS one JOIN job AS j ON j.id = one.value ORDER BY one.key

-- name: asked_about
SELECT argument, verb FROM command
WHERE refused IS NULL AND argument IN (SELECT CAST(value AS TEXT) FROM json_each(:jobs)) ORDER BY id

-- name: last_decisions
SELECT d.job, b.verb, d.seen FROM decided AS d JOIN batch AS b ON b.id = d.batch
WHERE d.undone = 0 AND d.job IN (SELECT value FROM json_each(:jobs)) ORDER BY d.batch

-- name: versions_of_source
SELECT * FROM job WHERE folder = :folder AND path = :path AND newest = 0 ORDER BY id DESC LIMIT :limit

-- In two queries, since there is an index for each.
-- fragment: failed_in
newest = 1 AND folder = :folder AND state = 'failed' AND mark IN (0, 2)

-- name: cut_since
SELECT id, finished_us AS at_us FROM job
WHERE state IN {cut} AND folder = :folder AND finished_us > :since_us AND finished_us <= :until_us
ORDER BY finished_us DESC LIMIT :limit

-- name: failed_since
SELECT id, finished_us AS at_us FROM job INDEXED BY job_listed
WHERE {failed_in} AND finished_us > :since_us AND finished_us <= :until_us ORDER BY finished_us DESC LIMIT :limit

-- name: last_ended_us
SELECT MAX(
  COALESCE((SELECT MAX(finished_us) FROM job WHERE state IN {cut} AND folder = :folder), 0),
  COALESCE((SELECT MAX(finished_us) FROM job INDEXED BY job_listed WHERE {failed_in}), 0)) AS us

-- name: minutes_of_cut
SELECT (finished_us - :since_us) / 60000000 AS minute, COUNT(*) AS n FROM job
WHERE state IN {cut} AND folder = :folder AND finished_us >= :since_us GROUP BY minute

-- name: minutes_of_failed
SELECT (finished_us - :since_us) / 60000000 AS minute, COUNT(*) AS n FROM job INDEXED BY job_listed
WHERE newest = 1 AND state = 'failed' AND folder = :folder AND mark = 0 AND finished_us >= :since_us GROUP BY minute
