-- Trust that ends unless a device attests again. until_ms: absent before the deployment runs.
-- evidence: the last one with a quote, and the challenge that it answers; a renewal without a quote
-- rests on it.
CREATE TABLE leases (
    deployment TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    seconds BIGINT NOT NULL,
    until_ms BIGINT,
    renewals BIGINT NOT NULL DEFAULT 0,
    ended BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0,
    evidence BLOB,
    challenge BLOB,
    quoted_ms BIGINT
);

CREATE INDEX leases_by_device ON leases (device, ended, until_ms);

CREATE INDEX leases_by_end ON leases (ended, until_ms);
