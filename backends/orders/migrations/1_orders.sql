-- What happened to orders: nothing here is ever changed or removed.
CREATE TABLE order_events (
    order_id TEXT   NOT NULL,
    -- 1, 2, 3 ... within an order. Two writers at once ask for the same one; one of them gets it.
    version  BIGINT NOT NULL,
    kind     TEXT   NOT NULL,
    -- JSON; `v` in it says in which shape.
    data     TEXT   NOT NULL,
    -- Milliseconds since 1970, as everywhere below.
    at       BIGINT NOT NULL,
    PRIMARY KEY (order_id, version)
);

-- An order as of some version, to spare reading all that led to it. Any of it may be deleted.
CREATE TABLE order_snapshots (
    order_id TEXT   NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    data     TEXT   NOT NULL
);
