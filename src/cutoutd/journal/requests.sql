-- Requests that may be sent again, and their first answers.

-- name: answer_to_request
SELECT answer FROM answered WHERE request = :request

-- name: keep_answer
INSERT INTO answered (request, answer, answered_us) VALUES (:request, :answer, :now_us)

-- name: forget_answers
DELETE FROM answered WHERE answered_us < :before_us
