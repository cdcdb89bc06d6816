//! An error with its causes, as the log and the report of a shutdown show it.

use std::error::Error as _;
use std::fmt;

use crate::error::Error;
use crate::text::on_one_line;

/// The maximum number of causes shown, and of characters of each.
const MOST: usize = 16;
const LONGEST: usize = 1_000;

/// An error with its causes, to the root, on one line.
pub(crate) struct Causes<'a>(pub(crate) &'a Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = on_one_line(self.0, LONGEST);
        let mut cause = self.0.source();
        for _ in 0..MOST {
            let Some(error) = cause else { break };
            let next = on_one_line(error, LONGEST);
            // Some errors repeat their cause.
            if !text.ends_with(&next) {
                text = format!("{text}: {next}");
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}
