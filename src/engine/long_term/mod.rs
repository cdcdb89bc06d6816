//! The long-term token: the tasks that the machine requests for it, the store's changes, and a token that the user sets.

mod dates;
mod set_token;
mod task;
mod watch;

pub(crate) use dates::{dated, handed_in};
pub(crate) use set_token::set_long_term_token;
pub(crate) use task::{TaskResult, no_grant, run};
pub(crate) use watch::watch;
