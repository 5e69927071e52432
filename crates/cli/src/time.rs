//! Points in time as they are typed and printed.

use crate::report::usage;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Zoned};
use std::num::IntErrorKind;

/// Seconds since the epoch as `2024-01-01 00:46:40 +0000`.
pub(crate) fn utc(seconds: u64) -> String {
    render(seconds, "%Y-%m-%d %H:%M:%S +0000", TimeZone::UTC)
}

/// Seconds since the epoch as `2024-01-01T00:46:40Z`.
pub(crate) fn iso(seconds: u64) -> String {
    render(seconds, "%Y-%m-%dT%H:%M:%SZ", TimeZone::UTC)
}

/// Seconds since the epoch as `2024-01-01T00:46:40+00` in local time, as OSTree prints a summary's.
pub(crate) fn local(seconds: u64) -> String {
    let Some(zoned) = zoned(seconds, TimeZone::system()) else { return seconds.to_string() };
    let offset = zoned.offset().seconds();
    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    let minutes = match offset / 60 % 60 {
        0 => String::new(),
        minutes => format!(":{minutes:02}"),
    };
    format!("{}{sign}{:02}{minutes}", zoned.strftime("%Y-%m-%dT%H:%M:%S"), offset / 3600)
}

fn zoned(seconds: u64, zone: TimeZone) -> Option<Zoned> {
    let timestamp = Timestamp::from_second(seconds.cast_signed()).ok()?;
    Some(timestamp.to_zoned(zone))
}

fn render(seconds: u64, format: &str, zone: TimeZone) -> String {
    zoned(seconds, zone).map_or_else(|| format!("@{seconds}"), |at| at.strftime(format).to_string())
}

/// Parses a point in time, to seconds since the epoch; one before it to what that is in two's complement, as OSTree has it.
///
/// Understood are `@SECONDS`; a date with or without a time of day, its parts separated by a blank or `T`, with an
/// offset, `Z`, `UTC` or `GMT` behind it or else in local time; RFC 2822; and `now`, `today`, `yesterday`,
/// `2 days ago` and the like.
pub(crate) fn parse(text: &str) -> anyhow::Result<u64> {
    parse_at(text, &Zoned::now())
        .map(|at| at.as_second().cast_unsigned())
        .ok_or_else(|| usage(format!("Could not parse '{text}'")))
}

/// The environment's `SOURCE_DATE_EPOCH`, which makes builds reproducible.
pub(crate) fn source_date_epoch() -> anyhow::Result<Option<u64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => match text.parse::<i64>().map(u64::try_from) {
            Ok(Ok(seconds)) => Ok(Some(seconds)),
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
                Err(usage("Parsing SOURCE_DATE_EPOCH: Numerical result out of range"))
            }
            _ => Err(usage(format!("Failed to convert SOURCE_DATE_EPOCH: {text:?} is no number of seconds"))),
        },
        Err(_) => Ok(None),
    }
}

fn parse_at(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(seconds) = text.strip_prefix('@') {
        let whole = seconds.split('.').next()?;
        return Timestamp::from_second(whole.parse().ok()?).ok();
    }
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|at| at.timestamp())
        .or_else(|| absolute(text))
        .or_else(|| with_month_name(text))
        .or_else(|| relative(&text.to_lowercase(), now))
}

/// A date, a time of day, an offset; each but the date may be missing.
fn absolute(text: &str) -> Option<Timestamp> {
    let (date, rest) = match text.split_once([' ', 'T']) {
        Some((date, rest)) => (date, rest.trim()),
        None => (text, ""),
    };
    let date: Date = date.parse().ok()?;
    let end_of_time =
        rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end_of_time);
    let time = match time {
        "" => jiff::civil::Time::midnight(),
        time => time.parse().ok()?,
    };
    let zone = zone.trim();
    let zone = match zone {
        "" => TimeZone::system(),
        "Z" | "z" | "UTC" | "GMT" => TimeZone::UTC,
        _ => offset(zone)?,
    };
    zone.to_timestamp(DateTime::from_parts(date, time)).ok()
}

/// `October 25 1985`, `25 Oct 1985`.
fn with_month_name(text: &str) -> Option<Timestamp> {
    let formats = ["%B %d %Y", "%B %d, %Y", "%d %B %Y"];
    let date = formats.iter().find_map(|format| Date::strptime(format, text).ok())?;
    TimeZone::system().to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()
}

/// `+0200`, `+02:00`, `-05`.
fn offset(text: &str) -> Option<TimeZone> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits.replace(':', "")),
        ("-", digits) => (-1, digits.replace(':', "")),
        _ => return None,
    };
    let number: i32 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    let seconds = match digits.len() {
        1 | 2 => number * 3600,
        4 => number / 100 * 3600 + number % 100 * 60,
        _ => return None,
    };
    Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(sign * seconds).ok()?))
}

/// `yesterday`, `3 days ago`, `1 week`, `a month ago`.
fn relative(text: &str, now: &Zoned) -> Option<Timestamp> {
    let mut words = text.split_whitespace().peekable();
    let mut at = now.clone();
    words.peek()?;
    while let Some(word) = words.next() {
        let span = match word {
            "now" | "today" => Span::new(),
            "yesterday" => (-1).days(),
            "tomorrow" => 1.day(),
            _ => {
                let amount: i64 = match word {
                    "a" | "an" | "next" => 1,
                    "last" => -1,
                    number => number.parse().ok()?,
                };
                let unit = words.next()?;
                let amount = if words.next_if_eq(&"ago").is_some() { amount.checked_neg()? } else { amount };
                let span = Span::new();
                match unit.strip_suffix('s').unwrap_or(unit) {
                    "second" | "sec" => span.try_seconds(amount),
                    "minute" | "min" => span.try_minutes(amount),
                    "hour" => span.try_hours(amount),
                    "day" => span.try_days(amount),
                    "week" => span.try_weeks(amount),
                    "fortnight" => span.try_weeks(amount.checked_mul(2)?),
                    "month" => span.try_months(amount),
                    "year" => span.try_years(amount),
                    _ => return None,
                }
                .ok()?
            }
        };
        at = at.checked_add(span).ok()?;
    }
    Some(at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `date -u -d … +%s`.
    #[test]
    fn every_way_to_write_a_time_is_understood() {
        for (text, seconds) in [
            ("@1700000000", 1_700_000_000),
            ("@5.5", 5),
            ("2024-01-01 00:00:00 +0000", 1_704_067_200),
            ("2024-01-02T03:04:05Z", 1_704_164_645),
            ("2024-01-02 03:04:05+02:00", 1_704_157_445),
            ("2024-01-02 03:04:05.25 -0500", 1_704_182_645),
            ("2024-01-02 03:04 UTC", 1_704_164_640),
            ("20240102 00:00 Z", 1_704_153_600),
            ("Mon, 1 Jan 2024 10:00:00 +0200", 1_704_096_000),
            ("Tue, 02 Jan 2024 03:04:05 GMT", 1_704_164_645),
            ("@0", 0),
        ] {
            assert_eq!(parse(text).unwrap(), seconds, "{text}");
        }
    }

    #[test]
    fn relative_times_count_from_now() {
        let now: Zoned = "2024-03-31T12:00:00+00:00[UTC]".parse().unwrap();
        let at = |text| parse_at(text, &now).map(|t| t.to_string());
        assert_eq!(at("yesterday").unwrap(), "2024-03-30T12:00:00Z");
        assert_eq!(at("2 weeks ago").unwrap(), "2024-03-17T12:00:00Z");
        assert_eq!(at("1 day").unwrap(), "2024-04-01T12:00:00Z");
        assert_eq!(at("junk"), None);
        assert_eq!(at("5 parsecs ago"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "zz", "1700000000", "2024-13-01", "@x", "2024-01-02 03:04 +99x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_printed_in_utc() {
        assert_eq!(utc(1_704_070_000), "2024-01-01 00:46:40 +0000");
        // As the real program prints what it commits with that time.
        assert_eq!(utc(u64::MAX), "1969-12-31 23:59:59 +0000");
        assert_eq!(utc(1 << 62), format!("@{}", 1_u64 << 62));
    }
}
