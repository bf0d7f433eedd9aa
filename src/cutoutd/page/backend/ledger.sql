-- Asked of the uploader's ledger, which it may be writing.

-- name: sums
SELECT COUNT(*) AS uploads, COALESCE(SUM(COALESCE(sent, bytes)), 0) AS bytes, MIN(began_us) AS first_us,
  MAX(began_us) AS last_us FROM upload

-- name: last_uploads
SELECT began_us, folder, job, host, provider, outcome, COALESCE(sent, bytes) AS bytes, credits, why, cause, width, height
FROM upload ORDER BY id DESC LIMIT :limit

-- A ledger of an earlier version has no such table.
-- name: has_webhooks
SELECT 1 FROM sqlite_master WHERE name = 'webhook'

-- name: webhook_sums
SELECT COUNT(*) AS messages,
  -- What a program on this machine was told has not left it.
  COALESCE(SUM(COALESCE(sent, bytes)) FILTER (WHERE NOT (
    host GLOB '127.*' OR host = 'localhost' OR host GLOB 'localhost:*' OR host GLOB '[[]::1]*'
  )), 0) AS bytes, MIN(began_us) AS first_us,
  MAX(began_us) AS last_us FROM webhook

-- name: last_webhooks
SELECT began_us, folder, job, host, type, what, outcome, COALESCE(sent, bytes) AS bytes, cause
FROM webhook ORDER BY id DESC LIMIT :limit
