-- One row to lock: whoever changes the signing keys holds it, so that of two processes at one
-- database the second sees what the first did. The keys' own table may be empty, with no row to
-- lock.
CREATE TABLE signing_key_turn (
    id BIGINT PRIMARY KEY
);
INSERT INTO signing_key_turn (id) VALUES (1);
