-- The log of decisions: a Merkle tree (RFC 9162) instead of a chain. What `decisions` holds moves
-- here in code, because a leaf's hash is not made in SQL.

-- position: from 0. leaf: the bytes that are hashed; the other columns repeat what they say.
CREATE TABLE log (
    position BIGINT PRIMARY KEY,
    tenant TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    subject TEXT NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL,
    leaf BLOB NOT NULL
);

CREATE INDEX log_by_subject ON log (subject, position);

-- The nodes whose subtrees are complete; they never change.
CREATE TABLE log_nodes (
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, idx)
);
