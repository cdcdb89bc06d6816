//! Calls of user code: the issuer, the store and the clock. They do not use the state of the engine.

mod exchange;
mod guard;
mod long_term;
mod reentrancy;
mod revoke;
mod store;
mod time;
mod unchecked_error;
mod user_code;

pub(crate) use exchange::{Exchanged, Minted};
pub(crate) use guard::{guarded_within, panicked};
pub(crate) use reentrancy::{is_within, working_for};
pub(crate) use revoke::{Authorities, Revocation};
pub(crate) use store::give_back;
pub(crate) use time::Time;
pub(crate) use unchecked_error::Unchecked;
pub(crate) use user_code::UserCode;
