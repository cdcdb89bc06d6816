//! Which responses refuse the token: by their status, or by the challenge of a 401 or 403 (RFC 9110, section 11.6.1,
//! and RFC 6750, section 3). `TokenProviderBuilder::refusal_statuses` has the list of statuses and its default.
//!
//! Servers break the grammar of challenges: they send `:` in an unquoted value, `;` between parameters, or bytes that
//! are not ASCII. A parser that enforces the grammar would reject such a header.

use http::header::{HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The status code of gRPC for a request without valid credentials.
const UNAUTHENTICATED: &str = "16";

/// Returns whether a response refuses the token: if its status is `listed`, a 401 or 403 names `invalid_token`, or
/// the headers of a gRPC response, which has no messages then, name the status `UNAUTHENTICATED`. A new token does
/// not help where the old one grants too little (RFC 6750, section 3.1).
#[inline]
pub(super) fn refuses_token(
    listed: &[StatusCode],
    status: StatusCode,
    headers: &HeaderMap,
) -> bool {
    if !status.is_client_error() {
        let grpc_status = headers.get(GRPC_STATUS);
        return grpc_status.is_some_and(|it| it == UNAUTHENTICATED) && status == StatusCode::OK;
    }
    let challenges = headers.get_all(WWW_AUTHENTICATE);
    let names = |code| {
        let mut challenges = challenges.iter();
        challenges.any(|header| has_param(header.as_bytes(), "error", code))
    };
    let is_listed = listed.contains(&status);
    let may_name = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
    (is_listed || may_name && names("invalid_token")) && !names("insufficient_scope")
}

/// Returns whether a challenge has this parameter with this value. Quoted text is not searched for
/// parameters.
fn has_param(header: &[u8], name: &str, value: &str) -> bool {
    let mut before = [None, None];
    for item in Items(header) {
        if let ([Some(Item::Text(param)), Some(Item::Equals)], Item::Text(text)) = (&before, &item)
            && param.eq_ignore_ascii_case(name.as_bytes())
            && text == value.as_bytes()
        {
            return true;
        }
        let [_, last] = before;
        before = [last, Some(item)];
    }
    false
}

enum Item {
    /// A scheme, a name or a value, without quotes.
    Text(Vec<u8>),
    Equals,
    Separator,
}

struct Items<'a>(&'a [u8]);

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let (&first, rest) = self.0.trim_ascii_start().split_first()?;
        self.0 = rest;
        Some(match first {
            b'=' => Item::Equals,
            b',' | b';' => Item::Separator,
            b'"' => Item::Text(self.quoted()),
            _ => {
                let ends = |byte: &u8| b"=,;\" \t".contains(byte);
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                let (text, rest) = rest.split_at(length);
                self.0 = rest;
                Item::Text([&[first], text].concat())
            }
        })
    }
}

impl Items<'_> {
    /// Reads up to the closing quote, or to the end if there is none.
    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            match (byte, rest.split_first()) {
                (b'"', _) => break,
                (b'\\', Some((&escaped, rest))) => {
                    text.push(escaped);
                    self.0 = rest;
                }
                _ => text.push(byte),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_a_parameter_is_found_as_servers_write_it() {
        for header in [
            r#"Bearer error="insufficient_scope""#,
            "Bearer error=insufficient_scope",
            r#"Bearer error = "insufficient_scope""#,
            r#"bearer ERROR="insufficient_scope", scope="jobs:read""#,
            r#"Bearer error="insufficient_scope", scope=jobs:read"#,
            r#"Bearer scope=jobs:read, error="insufficient_scope""#,
            r#"Bearer realm=example.com/api, error="insufficient_scope""#,
            r#"Bearer realm="a, \"b\", c",error="insufficient_scope""#,
            r#"Bearer  error="insufficient_scope""#,
            r#"Bearer error="insufficient_scope" scope="a""#,
            r#"Bearer error="insufficient_scope"; scope="a""#,
            r#"Bearer scope="a";error=insufficient_scope"#,
            r#"Bearer error="insufficient_scope","#,
            r#"Negotiate YII==, Bearer error="insufficient_scope""#,
            r#"Bearer error="insufficient_scope", Negotiate YII=="#,
            r#"Bearer error_description="für alle", error="insufficient_scope""#,
            r#"error="insufficient_scope""#,
        ] {
            assert!(
                has_param(header.as_bytes(), "error", "insufficient_scope"),
                "{header}"
            );
        }
    }

    #[test]
    fn a6_a_parameter_is_not_found_in_other_text() {
        for header in [
            "",
            "Bearer",
            "insufficient_scope",
            r#"Bearer error="invalid_token""#,
            r#"Bearer error="insufficient_scopes""#,
            r#"Bearer error_description="insufficient_scope""#,
            r#"Bearer error_description="error=insufficient_scope""#,
            r#"Bearer error_description="a \" error=insufficient_scope""#,
            r#"Bearer x_error="insufficient_scope""#,
            "Bearer error, insufficient_scope",
            "Bearer error=, insufficient_scope",
            r#"Bearer scope="error=insufficient_scope"#,
            r#"Bearer realm="=\"#,
        ] {
            assert!(
                !has_param(header.as_bytes(), "error", "insufficient_scope"),
                "{header}"
            );
        }
    }
}
