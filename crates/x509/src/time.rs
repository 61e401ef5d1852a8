//! Points in time and their two spellings: RFC 3339 text and ASN.1 time.
//!
//! Knows no clock: the caller says what time it is.

use std::fmt;

use crate::Timestamp;

/// Reads an RFC 3339 date-time in UTC, as vendors write it (`2024-06-10T13:20:33Z`).
///
/// Other offsets than `Z` and fractions of a second are refused: no endorsement uses them.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if marks.iter().any(|&(at, mark)| bytes[at] != mark) {
        return None;
    }
    let year = digits(&bytes[0..4])?;
    let [month, day, hour, minute, second] =
        [(5, 7), (8, 10), (11, 13), (14, 16), (17, 19)].map(|(from, to)| digits(&bytes[from..to]));
    from_civil(year, month?, day?, hour?, minute?, second?)
}

/// Reads the content of an ASN.1 UTCTime (RFC 5280 section 4.1.2.5.1).
pub(crate) fn parse_utc_time(content: &[u8]) -> Option<Timestamp> {
    let bytes: &[u8; 13] = content.try_into().ok()?;
    let short = digits(&bytes[0..2])?;
    let year = if short < 50 { 2000 + short } else { 1900 + short };
    parse_month_onward(year, &bytes[2..])
}

/// Reads the content of an ASN.1 GeneralizedTime (RFC 5280 section 4.1.2.5.2).
pub(crate) fn parse_generalized_time(content: &[u8]) -> Option<Timestamp> {
    let bytes: &[u8; 15] = content.try_into().ok()?;
    parse_month_onward(digits(&bytes[0..4])?, &bytes[4..])
}

/// A point in time that prints as RFC 3339.
pub struct Rfc3339(pub Timestamp);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0.rem_euclid(DAY);
        let (year, month, day) = civil_from_days(self.0.0.div_euclid(DAY));
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn parse_month_onward(year: i64, rest: &[u8]) -> Option<Timestamp> {
    if rest.len() != 11 || rest[10] != b'Z' {
        return None;
    }
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| digits(&rest[at..at + 2]));
    from_civil(year, month?, day?, hour?, minute?, second?)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes
        .iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn from_civil(
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
) -> Option<Timestamp> {
    let days = days_from_civil(year, month, day);
    let real = (1..=12).contains(&month) && civil_from_days(days) == (year, month, day);
    if !real || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(Timestamp(days * DAY + hour * 3600 + minute * 60 + second))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years begin in March inside.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_year = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
    let month = if month_of_year < 10 { month_of_year + 3 } else { month_of_year - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_survives_both_directions() {
        for text in ["1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2049-12-31T23:59:59Z"] {
            let time = parse_rfc3339(text).expect("a real date");

            assert_eq!(Rfc3339(time).to_string(), text);
        }
        assert_eq!(parse_rfc3339("2024-06-29T22:38:27Z"), Some(Timestamp(1_719_700_707)));
    }

    #[test]
    fn a_date_that_is_not_in_the_calendar_is_refused() {
        for text in ["2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
        for text in ["2024-01-01T24:00:00Z", "2024-01-01T00:00:00+", "2024-01-01", ""] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn asn1_times_agree_with_rfc3339() {
        let expected = parse_rfc3339("2024-06-19T07:56:22Z");

        assert_eq!(parse_utc_time(b"240619075622Z"), expected);
        assert_eq!(parse_generalized_time(b"20240619075622Z"), expected);
        assert_eq!(parse_utc_time(b"500619075622Z").map(|t| t.0 < 0), Some(true));
        assert_eq!(parse_utc_time(b"2406190756Z"), None);
    }

    #[test]
    fn extreme_times_print_without_overflow() {
        for seconds in [i64::MIN, i64::MAX, 0, -1] {
            assert!(!Rfc3339(Timestamp(seconds)).to_string().is_empty());
        }
    }
}
