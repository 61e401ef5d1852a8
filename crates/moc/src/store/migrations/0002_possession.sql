-- Who may have which bytes. A tenant has a blob when it sent all of it; a device has one when a
-- package for it names the digest and the package's tenant has the blob. What was stored before this
-- table was is nobody's: it is sent again.
CREATE TABLE blobs (
    tenant TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, sha256)
);

CREATE TABLE named_blobs (
    deployment TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    PRIMARY KEY (deployment, sha256)
);

CREATE INDEX named_blobs_by_device ON named_blobs (device, sha256);
