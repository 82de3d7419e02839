-- The simulated processor's own ledger. It stands for another company's: nothing joins it with the
-- tables of this service, and it commits for itself.
CREATE TABLE processor_operations (
    -- The order and the operation: what makes it safe to ask again.
    idempotency_key TEXT   PRIMARY KEY,
    order_id        TEXT   NOT NULL,
    operation       TEXT   NOT NULL CHECK (operation IN ('authorize', 'capture', 'void', 'refund')),
    token           TEXT   NOT NULL,
    amount_minor    BIGINT NOT NULL CHECK (amount_minor >= 0),
    currency        TEXT   NOT NULL,
    -- `approved`, or the code of an authorization's decline.
    outcome         TEXT   NOT NULL,
    -- Milliseconds since 1970.
    created_at      BIGINT NOT NULL
);

CREATE INDEX processor_operations_by_order ON processor_operations (order_id);

-- What has failed once on purpose, and must not fail again.
CREATE TABLE processor_faults (
    idempotency_key TEXT PRIMARY KEY
);
