//! What clients of auth servers share: calls whose answers are bounded in size and time, and errors without
//! secrets.

mod answer;
mod call;
mod connection;
mod json_object;

pub(crate) use answer::Answer;
pub(crate) use call::Call;
pub(crate) use connection::Connection;
pub(crate) use json_object::{JsonObject, readable};
