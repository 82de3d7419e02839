-- Where an account's letters go, as user.registered told.
CREATE TABLE addresses (
    account_id    TEXT   PRIMARY KEY,
    email         TEXT   NOT NULL,
    display_name  TEXT   NOT NULL,
    -- The sequence of its latest notification. Whoever adds one holds this row until the commit,
    -- so that an account's sequence is the order of its commits, and a reader who has seen a
    -- number has seen all below it.
    latest        BIGINT NOT NULL
);

-- What accounts were told: what the feed and the API show, and the outbox of letters.
CREATE TABLE messages (
    -- A UUID of version 7; also the letter's Message-ID.
    id          TEXT   PRIMARY KEY,
    account_id  TEXT   NOT NULL REFERENCES addresses (account_id),
    sequence    BIGINT NOT NULL,
    event_id    TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    -- Milliseconds since 1970.
    created_at  BIGINT NOT NULL,
    read_at     BIGINT,
    -- The letter: pending, sent or failed.
    state       TEXT   NOT NULL CHECK (state IN ('pending', 'sent', 'failed')),
    attempts    BIGINT NOT NULL,
    -- When it may be tried (again). Whoever tries it moves this ahead: that is the lease.
    due_at      BIGINT NOT NULL,
    UNIQUE (account_id, sequence),
    UNIQUE (account_id, event_id)
);

CREATE INDEX messages_unread ON messages (account_id, sequence) WHERE read_at IS NULL;
CREATE INDEX messages_pending ON messages (due_at, id) WHERE state = 'pending';
