//! Calls of a user's code: the issuer, the store and the clock. They know no state of the engine: arguments in,
//! outcome out.

mod exchange;
mod guard;
mod long_term;
mod outside;
mod revoke;
mod store;
mod time;
mod unchecked;
mod within;

pub(crate) use exchange::{Exchanged, Minted};
pub(crate) use guard::{guarded, guarded_within, panicked};
pub(crate) use outside::Outside;
pub(crate) use revoke::Authorities;
pub(crate) use time::Time;
pub(crate) use unchecked::Unchecked;
pub(crate) use within::{is_within, working_for};
