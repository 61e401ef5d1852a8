-- How devices join, and what the operator ordered them to do.

-- duty: pending, serving, draining, held, retired; where a device stands follows from it and from
-- state, which is what the evidence says. hardware_id: what the evidence has to show, hex, or ''.
-- seen_hardware_id: what it showed. reason: of the last order.
ALTER TABLE devices ADD COLUMN duty TEXT NOT NULL DEFAULT 'serving';
ALTER TABLE devices ADD COLUMN hardware_id TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN seen_hardware_id TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- hash: SHA-256 of the token, hex. body: the device as it was announced, JSON.
CREATE TABLE join_tokens (
    hash TEXT PRIMARY KEY,
    device TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    approved BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
