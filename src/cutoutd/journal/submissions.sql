-- Submissions.

-- fragment: pending
job IS NULL AND refused IS NULL

-- name: post_submission
INSERT OR IGNORE INTO submission (key, folder, spool, name, options, digest, posted_us)
VALUES (:key, :folder, :spool, :name, :options, :digest, :now_us)

-- name: submission
SELECT * FROM submission WHERE key = :key

-- name: submission_states
SELECT submission.key, submission.refused IS NOT NULL AS is_refused, job.state FROM json_each(:keys) AS asked
CROSS JOIN submission ON submission.key = asked.value
LEFT JOIN job ON job.id = submission.job

-- name: is_submitted
SELECT 1 FROM submission WHERE job = :job LIMIT 1

-- name: submissions
SELECT submission.* FROM json_each(:keys) AS asked CROSS JOIN submission ON submission.key = asked.value

-- name: pending_submissions
SELECT * FROM submission WHERE folder = :folder AND {pending} ORDER BY posted_us, key LIMIT :limit

-- name: spools_in_use
SELECT spool FROM submission WHERE folder = :folder AND {pending}

-- name: asked_backgrounds
SELECT json_extract(options, '$.background') AS background FROM job WHERE options LIKE '%background%'
UNION SELECT json_extract(options, '$.background') FROM submission WHERE options LIKE '%background%'

-- name: name_submission
UPDATE submission SET path = :path WHERE key = :key AND {pending}

-- name: take_submission
UPDATE job SET options = :options WHERE id = :job;
UPDATE submission SET job = :job WHERE key = :key AND {pending}

-- name: refuse_submission
UPDATE submission SET refused = :why, refusal = :refusal WHERE key = :key AND {pending}

-- name: forget_submissions
DELETE FROM submission WHERE posted_us < :before_us AND NOT ({pending})
