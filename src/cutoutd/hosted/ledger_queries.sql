-- How this file is read: `cutoutd.database.Queries`.

-- What an upload counts in a budget: what the provider said, or else what it was expected to cost, unless it is known to
-- have come to nothing.
-- fragment: counted
COALESCE(credits, CASE WHEN outcome IN {came_to_nothing} THEN 0 ELSE expected END)

-- name: begin
INSERT INTO upload (request, folder, job, why, sha256, source_sha256, bytes, width, height, provider, host, options, again,
  expected, began_us)
VALUES (:request, :folder, :job, :why, :sha256, :source_sha256, :bytes, :width, :height, :provider, :host, :options, :again,
  :expected, :began_us)

-- name: close
UPDATE upload SET outcome = :outcome, status = :status, sent = :sent, credits = :credits, took_ms = :took_ms, body = :body,
  reply_sha256 = :reply_sha256, reply_bytes = :reply_bytes, cause = :cause
WHERE id = :row AND outcome IS NULL

-- name: close_left_open
UPDATE upload SET outcome = 'unknown', cause = :cause WHERE outcome IS NULL

-- name: close_open
UPDATE upload SET outcome = 'unknown', cause = :cause WHERE request = :request AND outcome IS NULL

-- name: any_table
SELECT 1 FROM sqlite_master LIMIT 1

-- name: columns
SELECT outcome, began_us, expected FROM upload LIMIT 1

-- fragment: last
outcome IS NOT NULL ORDER BY id DESC LIMIT 1

-- name: last_of_request
SELECT * FROM upload WHERE request = :request AND {last}

-- name: last_of_content
SELECT * FROM upload
WHERE sha256 = :sha256 AND provider = :provider AND host = :host AND options = :options AND outcome IN {may_have_come}
  AND {last}

-- name: day
SELECT folder, COUNT(*) AS uploads, SUM(COALESCE(sent, bytes)) AS sent, SUM({counted}) AS credits FROM upload
WHERE began_us >= :begin_us AND began_us < :end_us AND outcome IS NOT NULL GROUP BY folder

-- name: request
SELECT 1 FROM upload WHERE request = :request LIMIT 1

-- name: count
SELECT COUNT(DISTINCT request) FROM upload

-- name: prices
SELECT expected, MAX(COALESCE(credits, expected)) AS highest FROM upload
WHERE began_us >= :since_us AND outcome = 'ok' AND provider = :provider AND host = :host GROUP BY expected

-- name: page
SELECT *, {counted} AS counted FROM upload WHERE id > :after ORDER BY id LIMIT :limit

-- name: begin_webhook
INSERT INTO webhook (message, webhook, folder, job, type, what, host, sha256, bytes, attempt, began_us)
VALUES (:message, :webhook, :folder, :job, :type, :what, :host, :sha256, :bytes, :attempt, :began_us)

-- name: close_webhook
UPDATE webhook SET outcome = :outcome, status = :status, sent = :sent, took_ms = :took_ms, cause = :cause
WHERE id = :row AND outcome IS NULL

-- name: close_webhooks_left_open
UPDATE webhook SET outcome = 'unknown', cause = :cause WHERE outcome IS NULL

-- name: last_of_webhook
SELECT outcome FROM webhook WHERE webhook = :webhook AND outcome IS NOT NULL ORDER BY id DESC LIMIT 1

-- name: page_of_webhooks
SELECT * FROM webhook WHERE id > :after ORDER BY id LIMIT :limit
