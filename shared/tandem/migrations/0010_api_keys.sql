-- Who may call, by API key. A secret is 256 random bits, so one round of SHA-256 hides it:
-- slow hashes are for passwords, which people choose.
CREATE TABLE tandem.api_keys (
    key_id      text PRIMARY KEY CHECK (key_id ~ '^[0-9a-f]{16}$'),
    name        text NOT NULL CHECK (name <> ''),
    secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    scopes      text[] NOT NULL CHECK (cardinality(scopes) > 0),
    create_time timestamptz NOT NULL DEFAULT now(),
    -- Without one it is valid for ever; an infinite one has no seconds left to count.
    expire_time timestamptz CHECK (isfinite(expire_time)),
    revoke_time timestamptz
);


-- ---------------------------------------------------------------- grants

-- The owner alone makes and revokes them.
GRANT SELECT ON tandem.api_keys TO tandem_creator, tandem_processor;
