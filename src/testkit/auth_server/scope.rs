//! What one scope says about another: `jobs:*` covers itself, `jobs:submit` and `jobs:read`.

use super::refusal::{Reason, Refusal};

pub(super) fn is_granted(granted: &[String], wanted: &str) -> bool {
    granted.iter().any(|scope| covers(scope, wanted))
}

/// The requested scopes without repetitions, or all that are granted where none were requested.
pub(super) fn narrow(
    granted: &[String],
    requested: Option<Vec<String>>,
) -> Result<Vec<String>, Refusal> {
    let Some(requested) = requested else {
        return Ok(granted.to_vec());
    };
    let mut narrowed = Vec::with_capacity(requested.len());
    for scope in requested {
        if !is_scope_token(&scope) || !is_granted(granted, &scope) {
            let message = format!("The scope {scope:?} is not granted.");
            return Err(Refusal::new(Reason::InvalidScope, message));
        }
        if !narrowed.contains(&scope) {
            narrowed.push(scope);
        }
    }
    Ok(narrowed)
}

fn covers(granted: &str, wanted: &str) -> bool {
    granted == wanted
        || granted.strip_suffix('*').is_some_and(|family| {
            family.ends_with(':') && wanted.len() > family.len() && wanted.starts_with(family)
        })
}

/// RFC 6749, section 3.3. A scope with a space in it would smuggle a second one into the claim.
fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
