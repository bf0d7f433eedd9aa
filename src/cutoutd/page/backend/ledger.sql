-- Asked of the uploader's ledger, which it may be writing.

-- name: sums
SELECT COUNT(*) AS uploads, COALESCE(SUM(COALESCE(sent, bytes)), 0) AS bytes, MIN(began_us) AS first_us,
  MAX(began_us) AS last_us FROM upload

-- name: last_uploads
SELECT began_us, folder, job, host, provider, outcome, COALESCE(sent, bytes) AS bytes, credits, why, cause, width, height
FROM upload ORDER BY id DESC LIMIT :limit
