-- Cards as this service may know them: never their number.
CREATE TABLE payment_methods (
    id           TEXT   PRIMARY KEY,
    account_id   TEXT   NOT NULL,
    brand        TEXT   NOT NULL,
    last4        TEXT   NOT NULL CHECK (length(last4) = 4),
    expiry_month BIGINT NOT NULL CHECK (expiry_month BETWEEN 1 AND 12),
    expiry_year  BIGINT NOT NULL,
    -- What the processor knows the card by.
    token        TEXT   NOT NULL,
    -- Milliseconds since 1970.
    created_at   BIGINT NOT NULL
);

CREATE INDEX payment_methods_by_account ON payment_methods (account_id, id);
