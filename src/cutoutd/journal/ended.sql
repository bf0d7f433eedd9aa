-- Ended jobs for webhooks: a trigger of the schema writes them; they are removed once the uploader has them.

-- name: add_telling_folder
INSERT OR IGNORE INTO telling_folder (name) VALUES (:name)

-- name: telling_folders
SELECT name FROM telling_folder

-- name: remove_telling_folder
DELETE FROM telling_folder WHERE name = :name

-- name: forget_ended
DELETE FROM ended WHERE folder = :folder

-- name: next_ended
SELECT * FROM ended WHERE folder = :folder ORDER BY id LIMIT 1

-- name: remove_ended
DELETE FROM ended WHERE id = :id

-- name: count_ended
SELECT COUNT(*) AS n FROM ended
