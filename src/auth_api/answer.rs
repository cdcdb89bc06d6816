//! Converts an answer of the server into a value or a typed error.

use http::StatusCode;

use super::models::{AuthError, TokenResponse};
use crate::error::{Error, ErrorKind};
use crate::token::Issued;
use crate::wire::{Answer, JsonObject, readable};

/// The contract's code for an ID that the server does not know.
const NOT_FOUND: &str = "not_found";

impl Answer<'_> {
    /// Returns the answer if it issues a token, or else its error.
    pub(super) fn issued(self) -> Result<Self, Error> {
        match self.status {
            StatusCode::OK | StatusCode::CREATED => Ok(self),
            status if status.is_success() => {
                let text = format!("the auth server answered {status} instead of 200 or 201");
                Err(self.error(ErrorKind::Protocol, &text, None))
            }
            _ => Err(self.refusal()),
        }
    }

    /// Returns `Ok` if the answer means that the token is revoked:
    ///
    /// | Answer | Means |
    /// |---|---|
    /// | 2xx, without a body or with JSON that has no `code` | revoked |
    /// | 2xx with anything else, such as a captive portal's page | not revoked, retryable |
    /// | 404 with the code `not_found` | revoked: the server no longer knows the ID |
    /// | 404 with an empty body | unknown, not retryable |
    /// | anything else | not revoked |
    pub(super) fn revoked(self) -> Result<(), Error> {
        if self.status.is_success() {
            let text = readable(&self.body);
            return match JsonObject::of(&text) {
                Some(members) if !members.get("code").is_null() => {
                    Err(self.not_revoked("an error code"))
                }
                _ => self.check_revoked(),
            };
        }
        if self.status == StatusCode::NOT_FOUND && self.is_empty() {
            let text = "the answer is 404 with an empty body, and it is unknown whether the token \
                        is revoked; check that the base URL is the auth server's";
            return Err(self.error(ErrorKind::InvalidRequest, text, None));
        }
        match self.refusal() {
            refusal if refusal.status() == Some(404) && refusal.code() == Some(NOT_FOUND) => Ok(()),
            refusal => Err(refusal),
        }
    }

    /// Reads the token that the answer issues.
    pub(super) fn token<T: From<Issued>>(&self) -> Result<TokenResponse<T>, Error> {
        let text = readable(&self.body);
        let what = match JsonObject::of(&text) {
            Some(members) => match TokenResponse::read(|name| members.get(name)) {
                Ok(mut response) => {
                    response.server_time = self.date();
                    return Ok(response);
                }
                Err(name) => format!("`{name}` is missing or of another type"),
            },
            None if self.body.is_empty() => "its body is empty".to_owned(),
            None => "its body is not a JSON object".to_owned(),
        };
        let text = format!("the answer breaks the contract: {what}");
        Err(self.error(ErrorKind::Protocol, &text, None))
    }

    fn refusal(&self) -> Error {
        let body = readable(&self.body);
        let members = JsonObject::of(&body);
        let error = members.and_then(|members| AuthError::read(|name| members.get(name)));
        let (code, message) = error.map(|it| (it.code, it.message)).unzip();
        self.refused(code, message)
    }
}
