-- Folders, commands, sessions, and facts.

-- name: fact
SELECT value FROM fact WHERE name = :name

-- name: set_fact
INSERT OR REPLACE INTO fact (name, value) VALUES (:name, :value)

-- name: remove_fact
DELETE FROM fact WHERE name = :name

-- name: folder
SELECT input, marker, device, inode, read_only FROM folder WHERE name = :name

-- name: folder_since
SELECT first_run_us FROM folder WHERE name = :name

-- Work that needs files of the input; the record of a failure needs none.
-- name: count_outstanding
SELECT (SELECT count(*) FROM job WHERE folder = :folder AND state IN {resumed})
  + (SELECT count(*) FROM job WHERE folder = :folder AND cleanup_pending = 1 AND state <> 'failed')
  + (SELECT count(*) FROM submission WHERE folder = :folder AND job IS NULL AND refused IS NULL)

-- Only those that no folder has now.
-- name: former_markers
SELECT marker FROM label WHERE name = :name AND marker NOT IN (SELECT marker FROM folder)

-- name: remember_folder
INSERT INTO folder (name, input, marker, device, inode, read_only, first_run_us)
VALUES (:name, :input, :marker, :device, :inode, :read_only, :first_run_us)
ON CONFLICT (name) DO UPDATE SET
  input = excluded.input, marker = excluded.marker, device = excluded.device, inode = excluded.inode,
  read_only = excluded.read_only

-- name: folders_with_marker
SELECT name, input FROM folder WHERE marker = :marker

-- name: folders_at
SELECT name, input FROM folder WHERE input = :input

-- name: labels
SELECT name FROM label WHERE marker = :marker

-- name: add_label
INSERT OR IGNORE INTO label (marker, name) VALUES (:marker, :name)

-- name: rename_folder
UPDATE job SET folder = :after WHERE folder = :before;
UPDATE reservation SET folder = :after WHERE folder = :before;
UPDATE output SET folder = :after WHERE folder = :before;
UPDATE published SET folder = :after WHERE folder = :before;
UPDATE correction SET folder = :after WHERE folder = :before;
UPDATE submission SET folder = :after WHERE folder = :before;
UPDATE ended SET folder = :after WHERE folder = :before;
UPDATE OR REPLACE fact SET name = 'misses-results/' || :after WHERE name = 'misses-results/' || :before;
UPDATE OR REPLACE fact SET name = 'copy-of/' || :after WHERE name = 'copy-of/' || :before;
UPDATE folder SET name = :after WHERE name = :before

-- name: miss_results
INSERT OR REPLACE INTO fact (name, value) SELECT 'misses-results/' || name, '' FROM folder

-- name: park_waiting
UPDATE job SET state = 'parked' WHERE folder = :folder AND state IN {waiting}

-- name: post_command
INSERT INTO command (verb, argument, posted_us) VALUES (:verb, :argument, :now_us)

-- name: pending_commands
SELECT id, verb, argument, seen FROM command WHERE refused IS NULL AND id > :after ORDER BY id LIMIT :limit

-- name: still_pending
SELECT id FROM command WHERE refused IS NULL AND id IN (SELECT value FROM json_each(:commands))

-- name: refuse_command
UPDATE command SET refused = :why WHERE id = :command;
DELETE FROM command WHERE refused IS NOT NULL
AND id NOT IN (SELECT id FROM command WHERE refused IS NOT NULL ORDER BY id DESC LIMIT :kept)

-- name: answer_to_command
SELECT refused FROM command WHERE id = :command

-- name: remove_command
DELETE FROM command WHERE id = :command

-- name: remove_commands
DELETE FROM command WHERE id IN (SELECT value FROM json_each(:commands))

-- name: begin_session
INSERT OR IGNORE INTO session (id, started_us) VALUES (:session, :now_us)

-- name: forget_sessions
DELETE FROM session WHERE id <> :session
AND id NOT IN (SELECT id FROM session ORDER BY started_us DESC LIMIT :kept)

-- name: other_sessions
SELECT id FROM session WHERE id <> :session

-- name: session
SELECT 1 FROM session WHERE id = :session
