//! What clients of auth servers share: calls whose answers are bounded in size and time, and errors without
//! secrets.

mod answer;
mod call;
mod connection;
mod endpoint;
#[cfg(feature = "oauth2")]
mod form;
mod http_date;
mod json_object;
mod reset_headers;

pub(crate) use answer::Answer;
#[cfg(feature = "oauth2")]
pub(crate) use answer::is_code;
pub(crate) use call::Call;
pub(crate) use connection::Connection;
pub(crate) use endpoint::endpoint;
#[cfg(feature = "oauth2")]
pub(crate) use form::{Form, form_encoded};
pub(crate) use json_object::{JsonObject, readable};
