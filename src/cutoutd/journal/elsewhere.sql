-- Queries of another state directory's journal, which may be of an earlier version: they use only what both have.

-- name: folder_at
SELECT * FROM folder WHERE input = :input

-- name: names_at
SELECT name FROM folder WHERE input = :input

-- name: names_of_marker
SELECT name FROM folder WHERE marker = :marker

-- name: versions_with_result
SELECT job.path, job.size, job.mtime_ns FROM job JOIN folder ON folder.name = job.folder
WHERE folder.input = :input AND job.newest = 1 AND job.state IN {has_result}

-- name: versions_not_resumed
SELECT path, size, mtime_ns FROM job
WHERE folder = :folder AND newest = 1 AND state <> 'gone' AND state NOT IN {resumed}

-- name: count_asked_again
SELECT COUNT(*) AS n FROM command WHERE verb IN ('retry', 'fix') AND refused IS NULL

-- name: first_runs
SELECT name, first_run_us FROM folder

-- name: facts
SELECT name, value FROM fact
