//! The long-term token and its record.

mod announce;
mod dates;
mod held;
mod keep;
mod merge;
mod watch;

pub(in crate::engine) use dates::{dated, retiring};
pub(in crate::engine) use held::Keeper;
pub(in crate::engine) use watch::watch;
