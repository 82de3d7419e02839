-- Who may ask for tokens (RFC 6749, section 2).
CREATE TABLE oauth_clients (
    id            TEXT   PRIMARY KEY,
    -- Whom a token names that the client gets for itself: of the form that accounts have.
    subject       TEXT   NOT NULL UNIQUE,
    -- 'public' or 'confidential'.
    kind          TEXT   NOT NULL,
    -- argon2, in PHC form. A confidential client without one cannot prove itself.
    secret_hash   TEXT,
    -- Words with a space between them, here and in the columns below.
    grant_types   TEXT   NOT NULL,
    redirect_uris TEXT   NOT NULL,
    scope         TEXT   NOT NULL
);

-- Authorization codes. A used one stays for a while, so that its reuse is noticed.
CREATE TABLE oauth_codes (
    id           TEXT   PRIMARY KEY,
    -- SHA-256: whoever reads this table cannot redeem what is in it.
    code_hash    TEXT   NOT NULL UNIQUE,
    -- The login form that it came from, which gives one code and no second.
    request_id   TEXT   NOT NULL UNIQUE,
    client_id    TEXT   NOT NULL REFERENCES oauth_clients (id),
    account_id   TEXT   NOT NULL REFERENCES accounts (id),
    redirect_uri TEXT   NOT NULL,
    scope        TEXT   NOT NULL,
    challenge    TEXT   NOT NULL,
    nonce        TEXT,
    -- Milliseconds since 1970, here and in every column of this kind.
    auth_time    BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT,
    -- What was issued for it.
    grant_id     TEXT
);
CREATE INDEX oauth_codes_account ON oauth_codes (account_id, id);
CREATE INDEX oauth_codes_expiry ON oauth_codes (expires_at);

-- What accounts have granted to clients: a row for each code that was redeemed. Its tokens are
-- good for as long as the row is there.
CREATE TABLE oauth_grants (
    id          TEXT   PRIMARY KEY,
    account_id  TEXT   NOT NULL REFERENCES accounts (id),
    client_id   TEXT   NOT NULL REFERENCES oauth_clients (id),
    scope       TEXT   NOT NULL,
    auth_time   BIGINT NOT NULL,
    -- Both NULL for a grant without refresh tokens. SHA-256 of the half that all refresh tokens
    -- of the grant share, and of the whole of the one that is good now.
    family_hash TEXT   UNIQUE,
    token_hash  TEXT,
    -- Moves on with each refresh, up to the end.
    expires_at  BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL
);
CREATE INDEX oauth_grants_account ON oauth_grants (account_id, id);
CREATE INDEX oauth_grants_expiry ON oauth_grants (expires_at);
