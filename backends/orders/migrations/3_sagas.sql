-- Orders that are not yet at their end: the next step of each, and who is at it. What has come to
-- its end has no row.
CREATE TABLE sagas (
    order_id    TEXT   NOT NULL PRIMARY KEY,
    direction   TEXT   NOT NULL,
    step        TEXT   NOT NULL,
    -- How often the step was begun. The second time on, its effect may be there already.
    attempts    BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    -- When a saga that still goes forward turns round.
    deadline_at BIGINT NOT NULL,
    -- New for each lease, and empty without one: what a former holder still writes finds no row.
    lease_owner TEXT   NOT NULL,
    lease_until BIGINT NOT NULL,
    -- Why it turned round.
    reason      TEXT,
    started_at  BIGINT NOT NULL,
    -- The request that began it, passed on with each call.
    request_id  TEXT   NOT NULL,
    traceparent TEXT   NOT NULL
);

CREATE INDEX sagas_by_due ON sagas (due_at, order_id);
