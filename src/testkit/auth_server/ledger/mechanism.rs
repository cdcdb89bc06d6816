//! Which of the four ways to a long-term token a request takes.

use crate::testkit::auth_server::refusal::Refusal;
use crate::testkit::auth_server::wire::{GrantType, LongTokenRequest};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// With the proof itself.
pub(super) enum Mechanism {
    Secret(String),
    OneTimeCode(String),
    Assertion(String),
    ShortTermToken(String),
}

impl Mechanism {
    /// Takes the proof out of the request.
    pub(super) fn take(
        request: &mut LongTokenRequest,
        bearer: Option<String>,
    ) -> Result<Self, Refusal> {
        let mut offered = [
            request.client_secret.take().map(Self::Secret),
            request.otp_code.take().map(Self::OneTimeCode),
            take_assertion(request)?,
            bearer.map(Self::ShortTermToken),
        ]
        .into_iter()
        .flatten();
        let mechanism = offered.next().ok_or_else(|| {
            Refusal::invalid_request(
                "One of `client_secret`, `otp_code`, `assertion` and a short-term token is required.",
            )
        })?;
        if offered.next().is_some() {
            return Err(Refusal::invalid_request(
                "Only one of `client_secret`, `otp_code`, `assertion` and a short-term token is \
                 allowed.",
            ));
        }
        mechanism.check_grant_type(request.grant_type)?;
        Ok(mechanism)
    }

    fn check_grant_type(&self, named: GrantType) -> Result<(), Refusal> {
        let fitting = match self {
            Self::Assertion(_) => GrantType::Assertion,
            Self::Secret(_) | Self::OneTimeCode(_) | Self::ShortTermToken(_) => {
                GrantType::ClientCredentials
            }
        };
        if named == fitting {
            Ok(())
        } else {
            Err(Refusal::invalid_request(
                "`grant_type` does not go with what the request proves itself with.",
            ))
        }
    }
}

fn take_assertion(request: &mut LongTokenRequest) -> Result<Option<Mechanism>, Refusal> {
    match (request.assertion_type.take(), request.assertion.take()) {
        (None, None) => Ok(None),
        (Some(kind), Some(assertion)) if kind == ASSERTION_TYPE => {
            Ok(Some(Mechanism::Assertion(assertion)))
        }
        (Some(_), Some(_)) => Err(Refusal::invalid_request(format!(
            "`assertion_type` must be `{ASSERTION_TYPE}`."
        ))),
        (None, Some(_)) => Err(Refusal::invalid_request("`assertion_type` is required.")),
        (Some(_), None) => Err(Refusal::invalid_request("`assertion` is required.")),
    }
}
