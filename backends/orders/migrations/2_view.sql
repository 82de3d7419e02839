-- Orders as they are asked for. Every row follows from the order's events alone.
CREATE TABLE orders_view (
    order_id    TEXT   NOT NULL PRIMARY KEY,
    account_id  TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    -- Why it is being cancelled, or was.
    reason      TEXT,
    refunded    BIGINT NOT NULL,
    -- JSON: [{product_id, quantity, unit_price: {minor_units, currency}}].
    lines       TEXT   NOT NULL,
    total_minor BIGINT NOT NULL,
    currency    TEXT   NOT NULL,
    complaints  BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    placed_at   BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL
);

-- The ids begin with the time: by id is by age.
CREATE INDEX orders_view_by_account ON orders_view (account_id, order_id);
