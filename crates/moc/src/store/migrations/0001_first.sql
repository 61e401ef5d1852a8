-- Column types: TEXT, BIGINT (also for 0/1) and BLOB only. Times are milliseconds since 1970.
-- tenant '' is the operator. epoch, lease_until_ms and fence order the work of several replicas
-- and the restarts of a TEE.

CREATE TABLE tenants (
    tenant TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
);

-- hash: SHA-256 of the bearer token, hex. role: operator, tenant, device.
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    revoked_ms BIGINT
);

CREATE TABLE devices (
    device TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    hardware TEXT NOT NULL,
    instances TEXT NOT NULL,
    zone TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    agent_key BLOB,
    agent_kid TEXT UNIQUE,
    report_key BLOB,
    receipt_key BLOB,
    suite BIGINT,
    emulated BIGINT,
    tcb_status TEXT,
    verdict TEXT,
    epoch BIGINT NOT NULL DEFAULT 0,
    lease_until_ms BIGINT,
    fence BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
);

CREATE TABLE requests (
    request TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    body TEXT NOT NULL,
    device TEXT NOT NULL,
    reasons TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

-- machine: the state machine as JSON. seq: grows with every change.
CREATE TABLE deployments (
    deployment TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    device TEXT NOT NULL,
    emulated BIGINT NOT NULL,
    open BIGINT NOT NULL,
    machine TEXT NOT NULL,
    seq BIGINT NOT NULL,
    deadline_ms BIGINT,
    epoch BIGINT NOT NULL DEFAULT 0,
    lease_until_ms BIGINT,
    fence BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
);

CREATE INDEX deployments_by_device ON deployments (device, open);

CREATE TABLE packages (
    deployment TEXT NOT NULL,
    package TEXT NOT NULL,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    owner TEXT NOT NULL,
    owner_key BLOB NOT NULL,
    manifest_component TEXT NOT NULL,
    components TEXT NOT NULL,
    manifest_digest TEXT NOT NULL,
    sequence_number BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, package)
);

CREATE INDEX packages_by_component ON packages (device, manifest_component);

-- A piece of work for a device, behind an opaque random ticket. ticket: its SHA-256, hex.
-- woken_ms: when a wake-up carried it; absent when the operator got it.
CREATE TABLE tickets (
    ticket TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    deployment TEXT NOT NULL,
    attestation TEXT NOT NULL,
    purpose TEXT NOT NULL,
    step TEXT NOT NULL,
    shown BIGINT NOT NULL DEFAULT 0,
    woken_ms BIGINT,
    fence BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE INDEX tickets_by_device ON tickets (device, expires_ms);

-- A TEEP request that waits for its answer. correlation: what the answer will bring, token,
-- challenge or key, hex.
CREATE TABLE exchanges (
    correlation TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    deployment TEXT NOT NULL,
    attestation TEXT NOT NULL,
    purpose TEXT NOT NULL,
    step TEXT NOT NULL,
    session BLOB NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE INDEX exchanges_by_device ON exchanges (device, created_ms);

-- A challenge that a decision has consumed; kept until it would have expired by itself.
CREATE TABLE used (
    value TEXT PRIMARY KEY,
    until_ms BIGINT NOT NULL
);

CREATE TABLE results (
    attestation TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    deployment TEXT NOT NULL,
    device TEXT NOT NULL,
    user_nonce BLOB NOT NULL,
    state TEXT NOT NULL,
    cmw BLOB,
    verdict TEXT,
    problem TEXT,
    created_ms BIGINT NOT NULL,
    decided_ms BIGINT
);

CREATE INDEX results_by_deployment ON results (deployment, created_ms);

CREATE TABLE events (
    deployment TEXT NOT NULL,
    seq BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    event TEXT NOT NULL,
    actor TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    digest TEXT NOT NULL,
    cause TEXT,
    statement BLOB NOT NULL,
    PRIMARY KEY (deployment, seq)
);

CREATE TABLE receipts (
    digest TEXT PRIMARY KEY,
    deployment TEXT NOT NULL,
    tenant TEXT NOT NULL,
    receipt BLOB NOT NULL,
    at_ms BIGINT NOT NULL
);

CREATE INDEX receipts_by_deployment ON receipts (deployment, at_ms);

-- Decisions about trust: append only, each one names the digest of the one before.
CREATE TABLE decisions (
    seq BIGINT PRIMARY KEY,
    tenant TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    subject TEXT NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL,
    previous TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE
);
