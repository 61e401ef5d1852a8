-- What was answered under an idempotency key, so that the same request again gets the same answer.
-- digest: SHA-256 of the request, hex. No answer with a secret is kept.
CREATE TABLE answers (
    holder TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (holder, name)
);
