//! Tests of the strict CBOR layer.
