CREATE TABLE accounts (
    id            TEXT   PRIMARY KEY,
    -- As it was typed, for people to read.
    email         TEXT   NOT NULL,
    -- In lower case: what makes an account one of a kind.
    email_key     TEXT   NOT NULL UNIQUE,
    display_name  TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    scope         TEXT   NOT NULL,
    -- Milliseconds since 1970.
    created_at    BIGINT NOT NULL
);
