//! What a failed answer of an OAuth server means (RFC 6749, section 5.2), and how servers deviate from that.

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::text::echoes;
use crate::wire::{Answer, JsonObject, is_code};

/// Returns whether the members are those of an error, whatever the status is.
pub(super) fn is_error(members: &JsonObject<'_>) -> bool {
    let error = members.get("error");
    let has_error = !(error.is_null() || error == "");
    has_error && !members.get("access_token").is_string()
}

/// Returns the error of an answer. `transient` has the codes and statuses after which a request is retried.
pub(super) fn refusal(answer: &Answer<'_>, body: &str, transient: &[String]) -> Error {
    let stated = JsonObject::of(body).map(|members| Stated::of(&members));
    let Stated {
        code,
        message,
        more_codes,
    } = stated.unwrap_or_default();
    let status = answer.status.as_u16();
    let mut known = vec![status.to_string()];
    known.extend(code.clone());
    known.extend(more_codes);
    let is_transient = known.iter().any(|it| transient.contains(it));
    let code = code.filter(|code| is_code(code));
    let kind = match code.as_deref() {
        _ if is_transient => ErrorKind::Server,
        _ if status == 429 => ErrorKind::RateLimited,
        Some("use_dpop_nonce" | "invalid_dpop_proof") => {
            let text = "the server demands DPoP, which is not supported; configure the client for bearer tokens";
            return answer.error(ErrorKind::Config, text, code);
        }
        None if answer.status.is_success() => ErrorKind::Protocol,
        // An error in an answer of success counts as one with the status that belongs to it.
        code if answer.status.is_success() => ErrorKind::of_status(400, code),
        code => ErrorKind::of_status(status, code),
    };
    let message = message.filter(|message| !repeats_encoded(message, answer));
    answer.refused_as(kind, code, message)
}

/// Returns whether a server repeats the request's body, with its secrets in whatever form of the percent-encoding.
fn repeats_encoded(message: &str, answer: &Answer<'_>) -> bool {
    let pairs = form_urlencoded::parse(message.as_bytes());
    let mut decoded = pairs.flat_map(|(name, value)| [name, value]);
    let decoded: Vec<_> = decoded.by_ref().collect();
    let decoded = decoded.join(
        "
",
    );
    echoes(&decoded, answer.secrets.iter().copied())
}

/// What the body of an error states.
#[derive(Default)]
struct Stated {
    code: Option<String>,
    message: Option<String>,
    /// Further codes, such as those of Entra ID.
    more_codes: Vec<String>,
}

impl Stated {
    fn of(members: &JsonObject<'_>) -> Self {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let more_codes = match members.get("error_codes") {
            Value::Array(codes) => codes.into_iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        let mut message = text(members.get("error_description"));
        let code = match members.get("error") {
            Value::Object(error) => {
                message = message.or_else(|| error.get("message").cloned().and_then(text));
                let mut codes = ["status", "code"]
                    .iter()
                    .filter_map(|name| error.get(*name));
                codes.find_map(|code| text(code.clone()))
            }
            error => text(error),
        };
        // Servers that do not follow RFC 6749 name the error differently.
        let code = code.or_else(|| text(members.get("code")).or_else(|| text(members.get("name"))));
        let errors = || match members.get("errors") {
            Value::Array(errors) => errors.into_iter().find_map(text),
            _ => None,
        };
        Self {
            code,
            message: message
                .or_else(|| text(members.get("message")))
                .or_else(errors),
            more_codes,
        }
    }
}
