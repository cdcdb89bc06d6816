//! The dates of HTTP headers.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// The two obsolete formats of RFC 9110, section 5.6.7, which a recipient must accept.
const OBSOLETE: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// Parses an HTTP date (RFC 9110, section 5.6.7).
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let time = rfc2822::DateTimeParser::new().parse_timestamp(text);
    let time = time.ok().or_else(|| {
        let mut formats = OBSOLETE.iter();
        let time = formats.find_map(|format| DateTime::strptime(format, text).ok())?;
        TimeZone::UTC.to_timestamp(time).ok()
    });
    SystemTime::try_from(time?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The examples of RFC 9110, section 5.6.7.
    #[test]
    fn all_formats_of_a_date_are_read() {
        let expected = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "soon", "1994-11-06T08:49:37Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
