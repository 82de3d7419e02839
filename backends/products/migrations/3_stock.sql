-- The books: of what was ever supplied, each piece is in exactly one place. A product that leaves
-- the catalogue keeps its row, and the books their balance.
CREATE TABLE stock (
    product_id TEXT   PRIMARY KEY,
    supplied   BIGINT NOT NULL CHECK (supplied >= 0),
    available  BIGINT NOT NULL CHECK (available >= 0),
    reserved   BIGINT NOT NULL CHECK (reserved >= 0),
    sold       BIGINT NOT NULL CHECK (sold >= 0),
    CHECK (supplied = available + reserved + sold)
);

CREATE TABLE reservations (
    -- The order's id.
    id         TEXT   PRIMARY KEY,
    state      TEXT   NOT NULL CHECK (
        state IN ('held', 'committed', 'released', 'expired', 'returned', 'tombstone')
    ),
    -- Milliseconds since 1970; of a tombstone, which holds nothing, when it was set.
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- What the expiry looks for.
CREATE INDEX reservations_by_expiry ON reservations (state, expires_at, id);

CREATE TABLE reservation_lines (
    reservation_id TEXT   NOT NULL REFERENCES reservations (id),
    product_id     TEXT   NOT NULL,
    quantity       BIGINT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (reservation_id, product_id)
);
