-- Roles and scopes, with an end.

-- name: what it is for. scopes: JSON; '[]' is all of the role's. hash: of a bearer token; or of a
-- client certificate, behind 'x5t#S256:'. role: as in the interface; 'tenant' has become two.
ALTER TABLE tokens ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE tokens ADD COLUMN expires_ms BIGINT;
UPDATE tokens SET role = 'tenant-admin' WHERE role = 'tenant';

CREATE INDEX tokens_by_tenant ON tokens (tenant, created_ms);

CREATE INDEX deployments_by_tenant ON deployments (tenant, open);
