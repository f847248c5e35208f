-- Vestibule's shared job store, version 1. {s} is the schema.
--
-- Documents and replies stand apart from the jobs: a change of state must not rewrite a payload. The partial indexes
-- hold what is open, so that millions of finished jobs cost a claim nothing. Text that is compared has the collation
-- "C": an index must not depend on the version of a C library.
CREATE TABLE {s}.jobs (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    flow text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    -- 0 queued, 1 leased, 2 in review, 3 answered, 4 returned, 5 dead
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 5),
    attempt integer NOT NULL,
    -- the fencing token: who holds an older one changes nothing
    token bigint NOT NULL,
    -- when a job or a delivery may be claimed, or when its lease or its review is over; null: never
    due timestamptz,
    accepted timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    ordered_by text COLLATE "C",
    -- hash of flow and ordered_by: jobs of one line are worked on one after the other; the others are blocked
    line bigint,
    blocked boolean NOT NULL DEFAULT false,
    -- 1: has an address for its result, 2: has one for dead letters
    sends smallint NOT NULL,
    -- 0 nothing to deliver, 1 due, 2 leased, 3 done, 4 given up
    delivery smallint NOT NULL DEFAULT 0 CHECK (delivery BETWEEN 0 AND 4),
    deliveries integer NOT NULL DEFAULT 0,
    held_by text,
    held_until timestamptz
) WITH (
    -- A job is updated a few times in its first seconds: room on its page, and vacuum before the dead versions are many.
    fillfactor = 70,
    autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 0.02
);
CREATE UNIQUE INDEX jobs_by_key ON {s}.jobs (flow, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_due ON {s}.jobs (flow, due, seq) WHERE state <= 2 AND NOT blocked;
CREATE INDEX jobs_open ON {s}.jobs (flow, state, accepted) WHERE state <= 2;
CREATE INDEX jobs_line ON {s}.jobs (line, blocked, seq)
    WHERE line IS NOT NULL AND (state <= 2 OR delivery IN (1, 2));
CREATE INDEX jobs_deliveries ON {s}.jobs (due, seq, flow) WHERE delivery IN (1, 2);
CREATE INDEX jobs_finished ON {s}.jobs (flow, changed) WHERE state IN (3, 4) AND delivery NOT IN (1, 2);
CREATE INDEX jobs_dead ON {s}.jobs (flow, changed) WHERE state = 5;

CREATE TABLE {s}.documents (
    job bigint PRIMARY KEY,
    received timestamptz NOT NULL,
    facts json NOT NULL,
    return_to json,
    bytes bytea NOT NULL
);
-- One a job: what is said while it is in review, then its result. No bytes: a refusal in the caller's protocol.
CREATE TABLE {s}.replies (job bigint PRIMARY KEY, outcome smallint NOT NULL, facts json NOT NULL, bytes bytea);
-- Why a job was given up, or its delivery.
CREATE TABLE {s}.ends (job bigint PRIMARY KEY, cause text, findings json, undeliverable text);
CREATE TABLE {s}.decisions (
    job bigint NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    decision json NOT NULL,
    PRIMARY KEY (job, number)
);
CREATE TABLE {s}.checkpoints (job bigint NOT NULL, record bigint NOT NULL, saved json NOT NULL, PRIMARY KEY (job, record));
-- Which process plays a role alone, and until when.
CREATE TABLE {s}.roles (role text COLLATE "C" PRIMARY KEY, holder uuid NOT NULL, until timestamptz NOT NULL);
-- Written to see whether the store takes writes.
CREATE TABLE {s}.probe (one boolean PRIMARY KEY DEFAULT true CHECK (one), at timestamptz NOT NULL);
INSERT INTO {s}.probe (at) VALUES (clock_timestamp());
