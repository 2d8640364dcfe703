-- What forethought cannot read again from anywhere. One text for SQLite and PostgreSQL: only types and clauses that
-- both have. Times are milliseconds since the epoch; `body` is JSON, the columns beside it are what is asked for by.

CREATE TABLE events (
    id       TEXT   NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL,
    start_at BIGINT NOT NULL,
    end_at   BIGINT NOT NULL, -- its decay included
    body     TEXT   NOT NULL
);
CREATE INDEX events_by_end ON events (end_at);
CREATE INDEX events_by_start ON events (start_at, id);

CREATE TABLE overrides (
    id       TEXT   NOT NULL PRIMARY KEY,
    workload TEXT   NOT NULL,
    kind     TEXT   NOT NULL, -- pause, pin, min, max
    created  BIGINT NOT NULL,
    expires  BIGINT,          -- NULL: until somebody clears it
    cleared  BIGINT,          -- NULL: nobody did
    body     TEXT   NOT NULL
);
-- One order of a kind over a workload, also where two people give theirs at the same moment.
CREATE UNIQUE INDEX overrides_in_force ON overrides (workload, kind) WHERE cleared IS NULL;
CREATE INDEX overrides_by_time ON overrides (created, id);

-- Two replicas come to the same decision; the key lets it be written once.
CREATE TABLE decisions (
    workload TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    body     TEXT   NOT NULL,
    PRIMARY KEY (workload, at)
);
CREATE INDEX decisions_by_time ON decisions (at, workload);

-- What carries over from one decision to the next.
CREATE TABLE decision_state (
    workload TEXT   NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    body     TEXT   NOT NULL
);

CREATE TABLE model_performance (
    signal     TEXT   NOT NULL,
    horizon_ms BIGINT NOT NULL,
    day        BIGINT NOT NULL, -- its beginning in UTC
    body       TEXT   NOT NULL,
    PRIMARY KEY (signal, horizon_ms, day)
);
CREATE INDEX model_performance_by_day ON model_performance (day);

-- Answers already given to requests with an idempotency key.
CREATE TABLE idempotency (
    name    TEXT   NOT NULL PRIMARY KEY, -- the path and the key
    digest  TEXT   NOT NULL,             -- of the body that came with it
    answer  TEXT   NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX idempotency_by_time ON idempotency (created);
