-- People's decisions about many pictures at once: their jobs as they are, the commands that follow, and undoing them.

-- fragment: about_job
refused IS NULL AND argument = CAST(j.id AS TEXT) AND verb IN ('accept', 'reject', 'hold', 'doubt', 'republish', 'republish_doubtful')

-- fragment: as_it_is
j.id AS job, j.state, j.newest, j.mark, j.wanted,
COALESCE(json_extract(j.detail, '$.decision'), '') AS decision, json_extract(j.detail, '$.accepted') AS accepted,
COALESCE((SELECT c.verb FROM command AS c WHERE {about_job} ORDER BY c.id DESC LIMIT 1), '') AS asked,
-- Of the first result; of one that is being published, as its plan has it.
COALESCE(CASE j.state WHEN 'publishing' THEN (
  SELECT json_extract(p.value, '$.sha256') FROM json_each(json_extract(j.detail, '$.plan'), '$.published') AS p
  WHERE json_extract(p.value, '$.rendition') >= 0 ORDER BY json_extract(p.value, '$.rendition') LIMIT 1)
END, (
  SELECT o.sha256 FROM output AS o
  WHERE o.folder = j.folder AND o.path = j.path AND o.generation = j.generation AND o.rendition >= 0
    AND o.review = (j.state = 'review')
  ORDER BY o.rendition LIMIT 1), '') AS sha256

-- name: found_for_decision
SELECT one.key, json_extract(one.value, '$[0]') AS number, json_extract(one.value, '$[1]') AS seen,
  COALESCE(json_extract(one.value, '$[2]'), '') AS over, {as_it_is},
  COALESCE((
    SELECT b.verb FROM decided AS d JOIN batch AS b ON b.id = d.batch
    WHERE d.job = j.id AND d.seen = json_extract(one.value, '$[1]') AND d.undone = 0
    ORDER BY d.batch DESC LIMIT 1), '') AS last_verb,
  b.state AS base_state, b.mark AS base_mark
FROM json_each(:items) AS one LEFT JOIN job AS j ON j.id = json_extract(one.value, '$[0]')
-- The job before the decision that holds and those that it replaced.
LEFT JOIN decided AS b ON b.job = j.id AND b.batch = (
  SELECT MAX(d.batch) FROM decided AS d WHERE d.job = j.id AND d.undone = 0 AND d.decision = '')
ORDER BY one.key

-- name: insert_batch
INSERT INTO batch (verb, posted_us) VALUES (:verb, :now_us)

-- name: insert_decided
INSERT INTO decided (job, batch, seen, state, mark, decision)
SELECT json_extract(value, '$[0]'), :batch, json_extract(value, '$[1]'), json_extract(value, '$[2]'),
  json_extract(value, '$[3]'), json_extract(value, '$[4]')
FROM json_each(:items)

-- name: post_commands
INSERT INTO command (verb, argument, posted_us, seen, batch)
SELECT json_extract(value, '$[0]'), CAST(json_extract(value, '$[1]') AS TEXT), :now_us, json_extract(value, '$[2]'), :batch
FROM json_each(:commands) ORDER BY key

-- name: withdraw_commands
DELETE FROM command WHERE refused IS NULL AND verb IN ('accept', 'reject', 'hold', 'doubt', 'republish', 'republish_doubtful')
AND argument IN (SELECT CAST(value AS TEXT) FROM json_each(:jobs))

-- name: batch
SELECT * FROM batch WHERE id = :batch

-- name: found_for_undo
SELECT d.job AS number, d.state AS state_before, d.mark AS mark_before, d.decision AS decision_before, d.seen, d.undone,
  EXISTS (SELECT 1 FROM decided AS l WHERE l.job = d.job AND l.batch > d.batch AND l.undone = 0) AS decided_again,
  {as_it_is}
FROM decided AS d LEFT JOIN job AS j ON j.id = d.job WHERE d.batch = :batch ORDER BY d.job

-- name: end_batch
UPDATE batch SET undone_us = :now_us WHERE id = :batch;
UPDATE decided SET undone = 1 WHERE batch = :batch AND job IN (SELECT value FROM json_each(:jobs))

-- name: decisions_about
SELECT b.id AS batch, b.verb, b.posted_us, d.undone FROM decided AS d JOIN batch AS b ON b.id = d.batch
WHERE d.job = :job ORDER BY b.id DESC LIMIT :limit

-- name: forget_batches
DELETE FROM decided WHERE batch IN (SELECT id FROM batch WHERE posted_us < :before_us);
DELETE FROM batch WHERE posted_us < :before_us

-- name: found_for_retry
SELECT one.key, json_extract(one.value, '$[0]') AS number, json_extract(one.value, '$[1]') AS seen, {as_it_is}
FROM json_each(:items) AS one LEFT JOIN job AS j ON j.id = json_extract(one.value, '$[0]') ORDER BY one.key
