//! An error with its causes, as the log and the report of a shutdown show it.

use std::error::Error as _;
use std::fmt::{self, Write as _};

use crate::error::Error;

/// The maximum number of causes shown.
const MOST: usize = 16;

/// An error with its causes, to the root, on one line.
pub(crate) struct Causes<'a>(pub(crate) &'a Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        for _ in 0..MOST {
            let Some(error) = cause else { break };
            let next = error.to_string();
            // Some errors repeat their cause.
            if !text.ends_with(&next) {
                text = format!("{text}: {next}");
            }
            cause = error.source();
        }
        let printable = |char: char| if char.is_control() { ' ' } else { char };
        text.chars()
            .map(printable)
            .try_for_each(|char| f.write_char(char))
    }
}
