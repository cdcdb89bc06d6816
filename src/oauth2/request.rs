//! A request to an endpoint: its form, and what authenticates the client.

use http::HeaderValue;
use http::header::AUTHORIZATION;
use reqwest::Url;

use crate::secret::Secret;
use crate::wire::{Call, Form};

#[derive(Default)]
pub(super) struct Request {
    pub(super) form: Form,
    pub(super) authorization: Option<HeaderValue>,
    /// The secrets outside of the form, which errors must not repeat.
    pub(super) hidden: Vec<Secret>,
}

impl Request {
    pub(super) fn call(&self, operation: &'static str, url: &Url) -> Call<'_> {
        let call = Call::post(operation, url.clone())
            .form(&self.form)
            .hiding(&self.hidden);
        match &self.authorization {
            Some(header) => call.header(AUTHORIZATION, header.clone()),
            None => call,
        }
    }
}
