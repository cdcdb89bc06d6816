//! The long-term token: its record, its rotation, and how another one is obtained.

mod hand_in;
pub(super) mod keeper;
pub(super) mod recovery;
pub(super) mod rotation;

pub(crate) use hand_in::set_long_term_token;
