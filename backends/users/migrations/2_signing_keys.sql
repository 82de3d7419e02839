CREATE TABLE signing_keys (
    kid          TEXT   PRIMARY KEY,
    -- PKCS #8 in PEM.
    private_key  TEXT   NOT NULL,
    published_at BIGINT NOT NULL,
    -- When it begins to sign; the key before it stops at the same moment.
    active_at    BIGINT NOT NULL
);
