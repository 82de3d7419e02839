CREATE TABLE payments (
    id           TEXT   PRIMARY KEY,
    -- An order has one payment.
    order_id     TEXT   NOT NULL UNIQUE,
    state        TEXT   NOT NULL CHECK (
        state IN ('authorizing', 'authorized', 'captured', 'declined', 'voided', 'refunded',
                  'tombstone')
    ),
    -- A tombstone has none of these: nobody has said whose order it was.
    account_id   TEXT,
    method_id    TEXT   REFERENCES payment_methods (id),
    -- Money is whole minor units (cents) of a currency, never a fraction.
    amount_minor BIGINT CHECK (amount_minor >= 0),
    currency     TEXT   CHECK (length(currency) = 3),
    decline_code TEXT,
    -- Milliseconds since 1970.
    created_at   BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,
    CHECK (
        state = 'tombstone'
        OR (account_id IS NOT NULL AND method_id IS NOT NULL
            AND amount_minor IS NOT NULL AND currency IS NOT NULL)
    ),
    CHECK ((state = 'declined') = (decline_code IS NOT NULL))
);

CREATE INDEX payments_by_account ON payments (account_id, id);
