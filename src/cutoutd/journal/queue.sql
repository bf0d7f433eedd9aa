-- The transitions of a job. How these files are read: `cutoutd.database.Queries`; sets of states: `cutoutd.jobs`.

-- fragment: answered
json_extract(detail, '$.reply') IS NOT NULL

-- fragment: rejected
json_extract(detail, '$.failure.code') = 'Rejected'

-- fragment: is_recalled
json_extract(detail, '$.decision') = 'hold'

-- fragment: afresh
state = 'queued', forced = 1, attempts = 0, interrupted = 0, tries = 0, not_before_us = 0, finished_us = NULL

-- fragment: next_in
SELECT * FROM job AS j
WHERE folder = :folder AND state = 'queued'
  -- Results of one source never overtake each other.
  AND NOT EXISTS (SELECT 1 FROM job AS b WHERE b.folder = j.folder AND b.path = j.path AND b.state IN {active})
  AND (NOT :answered_only OR {answered})
  AND (NOT :untried_only OR tries = 0)

-- name: next_oldest
{next_in} ORDER BY alone, mtime_ns, id LIMIT 1

-- name: next_newest
{next_in} ORDER BY alone, mtime_ns DESC, id DESC LIMIT 1

-- fragment: overdue
alone = 1 AND interrupted < :alone_after AND accepted_us <= :since_us

-- name: overdue_oldest
{next_in} AND {overdue} ORDER BY mtime_ns, id LIMIT 1

-- name: overdue_newest
{next_in} AND {overdue} ORDER BY mtime_ns DESC, id DESC LIMIT 1

-- name: job
SELECT * FROM job WHERE id = :job

-- name: plan_of_job
SELECT sha256, detail FROM job WHERE id = :job

-- name: claim
UPDATE job SET state = 'working', session = :session WHERE id = :job

-- name: enqueue
UPDATE job SET state = 'queued', session = NULL, detail = {with_former} WHERE id = :job

-- name: upload
UPDATE job SET state = 'uploading', session = NULL, detail = {with_former} WHERE id = :job

-- name: publish
UPDATE job SET state = 'publishing', session = :session, sha256 = :sha256,
  detail = CASE WHEN {is_recalled} THEN json_set(:detail, '$.decision', 'hold') ELSE :detail END
WHERE id = :job

-- A person may have asked for its return to review while it was being published.
-- fragment: is_still_recalled
{is_recalled} AND :state <> 'review'

-- name: finish
UPDATE job SET state = :state, session = NULL, finished_us = :now_us, forced = 0,
  cleanup_pending = :cleanup_pending, sha256 = COALESCE(:sha256, sha256),
  wanted = CASE WHEN {is_still_recalled} THEN 'recalled' END,
  detail = CASE WHEN {is_still_recalled} THEN json_set(:detail, '$.decision', 'hold') ELSE :detail END
WHERE id = :job

-- name: delay
UPDATE job SET state = 'retry', session = NULL, tries = tries + 1, not_before_us = :not_before_us,
  detail = {with_former}
WHERE id = :job

-- name: set_alone
UPDATE job SET alone = :alone WHERE id = :job

-- name: clean_up
UPDATE job SET cleanup_pending = 0 WHERE id = :job

-- name: doubt_job
UPDATE job SET provisional = 1 WHERE id = :job

-- name: options_of_source
SELECT options FROM job WHERE folder = :folder AND path = :path AND generation = :generation ORDER BY id DESC LIMIT 1

-- name: set_options
UPDATE job SET options = :options WHERE id = :job

-- name: join_source
UPDATE job SET generation = :generation WHERE id = :job

-- name: count_attempt
UPDATE job SET attempts = attempts + 1 WHERE id = :job

-- name: uploading
SELECT * FROM job WHERE state = 'uploading' AND (:folder IS NULL OR folder = :folder) ORDER BY id

-- name: answered_jobs
SELECT * FROM job WHERE state = 'queued' AND {answered}

-- name: count_queued
SELECT COUNT(*) AS n FROM job WHERE folder = :folder AND state = 'queued'

-- name: publishing
SELECT * FROM job WHERE id = :job AND state = 'publishing'

-- name: publishing_jobs
SELECT * FROM job WHERE state = 'publishing'

-- name: count_open
SELECT COUNT(*) AS n FROM job WHERE state IN {open}

-- name: open_by_state
SELECT state, COUNT(*) AS n FROM job WHERE state IN {open} GROUP BY state

-- name: cleanup_pending
SELECT * FROM job
WHERE folder = :folder AND cleanup_pending = 1 AND (state IN {released} OR (state = 'failed' AND newest = 1))
ORDER BY id

-- name: is_over
SELECT 1 FROM job
WHERE folder = :folder AND path = :path AND newest = 1 AND state IN {has_result} AND finished_us > :after_us

-- fragment: due
state = 'retry' AND (not_before_us <= :now_us OR not_before_us > :latest_us)

-- name: is_any_due
SELECT 1 FROM job WHERE {due} LIMIT 1

-- name: wake_due
UPDATE job SET state = 'queued' WHERE {due}

-- fragment: rests
state = 'retry' AND folder = :folder

-- name: does_any_rest
SELECT 1 FROM job WHERE {rests} LIMIT 1

-- name: wake_folder
UPDATE job SET state = 'queued' WHERE {rests}

-- Jobs of an earlier session have an empty session during this one transaction. The record of one that was interrupted too
-- often is written once its folder is there.
-- name: recover
UPDATE job SET interrupted = interrupted + 1, session = '', alone = MAX(alone, interrupted + 1 >= :alone_after)
WHERE state IN {in_hand} AND session IS NOT NULL AND session IS NOT :session;
UPDATE job SET state = 'failed', session = NULL, finished_us = :now_us, detail = :quarantined, cleanup_pending = 1
WHERE state IN {in_hand} AND session = '' AND interrupted >= :max_interrupted;
UPDATE job SET state = 'queued', session = NULL, detail = {still_former} WHERE state = 'working' AND session = '';
UPDATE job SET session = :session WHERE state = 'publishing' AND session IS NOT :session

-- name: end_session
UPDATE job SET session = NULL WHERE state = 'publishing' AND session = :session

-- name: folders_with_jobs
SELECT DISTINCT folder FROM job

-- name: park
UPDATE job SET state = 'parked' WHERE folder = :folder AND state = 'queued';
UPDATE job SET state = 'parked' WHERE folder = :folder AND state = 'retry';
UPDATE job SET state = 'parked' WHERE folder = :folder AND state = 'uploading'

-- name: unpark
UPDATE job SET state = 'queued' WHERE folder = :folder AND state = 'parked'

-- An upload that may have been billed is then repeated.
-- fragment: plan_of_retry
detail = CASE WHEN state = 'unknown' OR json_extract(detail, '$.failure.code') = 'Reply' THEN '{"again": true}' ELSE {former} END

-- What its cutout is, as long as the picture is cut again: it stays so if the picture is gone by then.
-- fragment: former
CASE WHEN json_type(detail, '$.outputs') IS NOT NULL THEN json_object('former', json(detail)) ELSE {still_former} END

-- fragment: still_former
CASE WHEN json_type(detail, '$.former') IS NOT NULL THEN json_object('former', json_extract(detail, '$.former')) ELSE '{}' END

-- fragment: with_former
CASE WHEN json_type(detail, '$.former') IS NOT NULL
  THEN json_set(:detail, '$.former', json_extract(detail, '$.former')) ELSE :detail END

-- fragment: as_scored
wanted = NULL, model = :model

-- name: retry_job
UPDATE job SET {afresh}, {as_scored}, {plan_of_retry}
WHERE newest = 1 AND id = :job AND state NOT IN {active} AND state <> 'queued'

-- name: retry_failed
UPDATE job SET {afresh}, {as_scored}, {plan_of_retry}
WHERE newest = 1 AND state = 'failed' AND {rejected} IS NOT TRUE

-- name: retry_model
UPDATE job SET {afresh}, wanted = NULL, model = '', detail = {former}
WHERE newest = 1 AND state IN {cut} AND json_extract(detail, '$.model') = :model

-- The same model makes the cutout again, since the strokes were drawn over its matte.
-- name: cut_for_correction
UPDATE job SET {afresh}, wanted = :wanted, detail = CASE
  WHEN json_type(detail, '$.outputs') IS NOT NULL THEN json_set(:detail, '$.former', json(detail))
  ELSE {with_former} END
WHERE id = :job

-- name: unpublished_source
SELECT folder, path FROM job AS j
WHERE id = :job AND NOT EXISTS (
  SELECT 1 FROM published AS p WHERE p.folder = j.folder AND p.path = j.path AND p.generation = j.generation)

-- name: take_other_recording
UPDATE job SET state = 'queued', finished_us = NULL, detail = '{}'
WHERE folder = :folder AND path > :after AND path < :before AND newest = 1 AND state = 'skipped'
  AND json_extract(detail, '$.pair') = :pair

-- name: decide
UPDATE job SET detail = json_remove(json_set(detail, '$.decision', :decision), '$.refused')
WHERE id = :job AND newest = 1 AND state = 'review'

-- A job that is being published is recalled as soon as it is published.
-- name: recall
UPDATE job SET wanted = 'recalled', detail = json_remove(json_set(detail, '$.decision', 'hold'), '$.refused')
WHERE id = :job AND newest = 1
  AND (state IN {has_result} OR state = 'publishing' OR (state = 'failed' AND {rejected}))

-- A person has looked at a published result that might be wrong, and it is right.
-- name: confirm
UPDATE job SET detail = json_set(json_remove(detail, '$.doubtful'), '$.sidecar_behind', json('true'))
WHERE id = :job AND newest = 1 AND state IN {released} AND wanted IS NULL

-- name: doubt_again
UPDATE job SET detail = json_remove(json_set(detail, '$.doubtful', json('true'), '$.sidecar_behind', json('true')), '$.accepted')
WHERE id = :job AND newest = 1 AND state IN {released} AND wanted IS NULL

-- Published results whose sidecar does not say yet what a person thinks of them.
-- name: sidecars_behind
SELECT * FROM job INDEXED BY job_sidecar_behind WHERE folder = :folder AND json_extract(detail, '$.sidecar_behind') IS NOT NULL

-- name: sidecar_behind
SELECT * FROM job WHERE id = :job AND json_extract(detail, '$.sidecar_behind') IS NOT NULL

-- Unless the person has changed their mind meanwhile.
-- name: sidecar_written
UPDATE job SET detail = json_remove(detail, '$.sidecar_behind')
WHERE id = :job AND (json_extract(detail, '$.doubtful') IS NOT NULL) = :doubtful

-- fragment: is_decided
newest = 1 AND json_extract(detail, '$.decision') IS NOT NULL AND state NOT IN {open}

-- name: decision_of
SELECT * FROM job WHERE id = :job AND {is_decided}

-- name: decisions_in
SELECT * FROM job INDEXED BY job_decided WHERE folder = :folder AND {is_decided} ORDER BY id

-- name: withdraw_decision
UPDATE job SET wanted = NULL, detail = json_remove(detail, '$.decision') WHERE id = :job AND state NOT IN {open}

-- A rejected picture is cut again: its result in review was removed.
-- name: hold_rejected
UPDATE job SET {afresh}, wanted = 'held', {plan_of_retry} WHERE id = :job AND newest = 1 AND state = 'failed' AND {rejected}

-- name: refuse_decision
UPDATE job SET wanted = NULL, detail = json_set(json_remove(detail, '$.decision'), '$.refused', :why)
WHERE id = :job AND state NOT IN {open}
