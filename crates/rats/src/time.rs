//! Points in time as the tokens carry them. Nothing here reads a clock.

use std::fmt;

use crate::refusal::Untrusted;

/// Whole seconds since 1970-01-01T00:00:00Z (NumericDate of RFC 8392 section 2, never a float).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time this many seconds later, or the last representable one.
    pub const fn after(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// How many seconds this time lies after `earlier`; negative when it lies before.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The `iat` and `exp` of a token, to be compared with the time of the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// When the token was issued, if it says so.
    pub iat: Option<Timestamp>,
    /// The first second at which the token is no longer valid, if it says so.
    pub exp: Option<Timestamp>,
}

impl Lifetime {
    /// Refuses a token from the future (beyond `skew_s` seconds) and one that has ended.
    //= rats 11.10 (M): expired, or issued in the future beyond the skew, is refused
    pub fn check(&self, now: Timestamp, skew_s: i64) -> Result<(), Untrusted> {
        if let Some(iat) = self.iat
            && iat > now.after(skew_s)
        {
            return Err(Untrusted::FromTheFuture { iat, now });
        }
        if let Some(exp) = self.exp
            && exp <= now
        {
            return Err(Untrusted::Expired { exp, now });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    //= rats 11.10 (M): expired, or issued in the future beyond the skew, is refused
    #[test]
    fn a_token_is_valid_between_its_two_times_only() {
        let token = |iat, exp| Lifetime { iat: Some(Timestamp(iat)), exp: Some(Timestamp(exp)) };

        assert_eq!(token(900, 1_001).check(NOW, 0), Ok(()));
        assert_eq!(token(1_060, 2_000).check(NOW, 60), Ok(()));
        assert_eq!(
            token(1_061, 2_000).check(NOW, 60),
            Err(Untrusted::FromTheFuture { iat: Timestamp(1_061), now: NOW })
        );
        assert_eq!(
            token(900, 1_000).check(NOW, 60),
            Err(Untrusted::Expired { exp: NOW, now: NOW })
        );
    }

    #[test]
    fn the_ends_of_the_number_range_do_not_overflow() {
        let token = Lifetime { iat: Some(Timestamp(i64::MAX)), exp: Some(Timestamp(i64::MAX)) };

        assert_eq!(token.check(Timestamp(i64::MAX - 1), 60), Ok(()));
        assert_eq!(Timestamp(i64::MAX).since(Timestamp(i64::MIN)), i64::MAX);
    }
}
