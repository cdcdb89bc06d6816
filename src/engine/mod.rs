//! The engine: the driver, callers that wait, and the hot path.

mod actions;
mod current;
mod driver;
mod exchange;
mod exchange_call;
mod grants;
mod header_copies;
mod live;
mod long_term;
mod outage;
mod rejected_token;
mod revocation;
mod revocation_hints;
mod scope_set;
mod secrets;
mod serving;
mod sets;
mod shared;
mod shutdown;
mod start;
mod state;
mod status;
mod swap;
mod task_result;
mod tasks;
mod wait;

pub(crate) use current::Published;
pub(crate) use long_term::set_long_term_token;
pub(crate) use rejected_token::{Replacement, deny, top_up};
pub(crate) use scope_set::{ScopeSet, normalized};
pub(crate) use shared::{Settings, Shared};
pub use shutdown::report::{RevocationOutcome, ShutdownReport, TokenKind, TokenReport};
pub(crate) use shutdown::shut_down;
pub(crate) use start::{current_runtime, ensure};
pub(crate) use status::of as status_of;
pub(crate) use wait::{for_reload, for_rotation, for_token};
