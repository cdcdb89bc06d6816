//! The long-term token: its record, its rotation, and how another one is obtained.

pub(super) mod keeper;
pub(super) mod recovery;
pub(super) mod rotation;
mod set_token;

pub(crate) use set_token::set_long_term_token;
