-- What placement asks of a device, and who has which slot of it.

-- jurisdiction: '' when it is not known. attested_ms: the last positive appraisal. A device's fence
-- grows with every slot that is given out on it.
ALTER TABLE devices ADD COLUMN jurisdiction TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN latency_ms BIGINT;
ALTER TABLE devices ADD COLUMN slots BIGINT;
ALTER TABLE devices ADD COLUMN memory_mib BIGINT;
ALTER TABLE devices ADD COLUMN cpu_milli BIGINT;
ALTER TABLE devices ADD COLUMN attested_ms BIGINT;

-- reserved_until_ms: when a deployment that waits gives its slot back.
ALTER TABLE deployments ADD COLUMN reserved_until_ms BIGINT;

-- apart: a tenant's name for deployments that never share a device, or absent.
CREATE TABLE reservations (
    device TEXT NOT NULL,
    slot BIGINT NOT NULL,
    deployment TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    apart TEXT,
    memory_mib BIGINT NOT NULL,
    cpu_milli BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    PRIMARY KEY (device, slot)
);

CREATE UNIQUE INDEX reservations_apart ON reservations (tenant, apart, device);

-- Deployments from before hold a slot without a fence, but those that have failed.
INSERT INTO reservations (device, slot, deployment, tenant, memory_mib, cpu_milli, fence)
    SELECT device, ROW_NUMBER() OVER (PARTITION BY device ORDER BY created_ms, deployment) - 1,
    deployment, tenant, 0, 0, 0 FROM deployments
    WHERE open = 1 OR machine LIKE '%"failure":null%';
