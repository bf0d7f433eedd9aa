-- The journal of an earlier version, attached as `earlier`.

-- Statements that copy every row of every table that both have, by the current and former names of tables and columns.
-- name: copies_of_tables
WITH
  renamed_table (now, before) AS (VALUES ('reservation', 'name'), ('session', 'run')),
  renamed_column (in_table, now, before) AS (
    VALUES ('folder', 'read_only', 'aside'), ('job', 'cleanup_pending', 'undisposed'), ('job', 'session', 'run')),
  both_tables (now, before) AS (
    SELECT m.name, e.name FROM main.sqlite_master AS m JOIN earlier.sqlite_master AS e
    ON e.name = m.name OR e.name = (SELECT r.before FROM renamed_table AS r WHERE r.now = m.name)
    WHERE m.type = 'table' AND e.type = 'table'),
  both_columns (table_now, table_before, now, before) AS (
    SELECT t.now, t.before, m.name, e.name
    FROM both_tables AS t, pragma_table_info(t.now, 'main') AS m, pragma_table_info(t.before, 'earlier') AS e
    WHERE e.name = m.name
      OR e.name = (SELECT r.before FROM renamed_column AS r WHERE r.in_table = t.now AND r.now = m.name))
SELECT 'INSERT OR REPLACE INTO main."' || table_now || '" (' || group_concat('"' || now || '"', ', ')
  || ') SELECT ' || group_concat('"' || before || '"', ', ') || ' FROM earlier."' || table_before || '"'
FROM both_columns GROUP BY table_now, table_before

-- Of two counters of a table, copied and new, the one that is further on stays.
-- name: keep_later_counters
DELETE FROM main.sqlite_sequence AS one WHERE EXISTS (
  SELECT 1 FROM main.sqlite_sequence AS other WHERE other.name = one.name
  AND (other.seq > one.seq OR (other.seq = one.seq AND other.rowid < one.rowid)))

-- Before version 3, size and time of a published version were not stored; the newest row of its source has them.
-- name: fill_looks
UPDATE published SET (size, mtime_ns) = (
  SELECT size, mtime_ns FROM job
  WHERE job.folder = published.folder AND job.path = published.path AND job.newest = 1 AND job.sha256 = published.sha256)
WHERE size IS NULL
