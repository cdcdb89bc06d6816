//! Reads the members of a JSON object one by one, so that a malformed member affects no other.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The members of a JSON object, each unparsed.
pub(crate) struct JsonObject<'a>(HashMap<String, &'a RawValue>);

/// Returns the body as text that JSON can be read from: without a byte order mark, with spaces for control
/// characters, and with replacement characters for what is not UTF-8.
pub(crate) fn readable(body: &[u8]) -> Zeroizing<String> {
    // Long enough, since a `String` that grows leaves its old text in memory.
    let longest = body.len() * char::REPLACEMENT_CHARACTER.len_utf8();
    let mut text = Zeroizing::new(String::with_capacity(longest));
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    for chunk in body.utf8_chunks() {
        let is_control = |char: char| char.is_ascii_control();
        let valid = chunk.valid().chars();
        text.extend(valid.map(|char| if is_control(char) { ' ' } else { char }));
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    without_nan(&mut text);
    text
}

/// Overwrites `NaN` and `Infinity`, which some servers write as numbers, with values that JSON has.
fn without_nan(text: &mut String) {
    const SPELLINGS: [(&str, &str); 3] = [
        ("-Infinity", "null     "),
        ("Infinity", "null    "),
        ("NaN", "\"\" "),
    ];
    if !SPELLINGS
        .iter()
        .any(|(spelling, _)| text.contains(spelling))
    {
        return;
    }
    let mut at = 0;
    let (mut is_text, mut is_escaped) = (false, false);
    while let Some(char) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        let mut found = SPELLINGS.iter().filter(|_| !is_text);
        if let Some((spelling, value)) = found.find(|(spelling, _)| rest.starts_with(spelling)) {
            text.replace_range(at..at + spelling.len(), value);
            at += spelling.len();
            continue;
        }
        is_text ^= char == '"' && !is_escaped;
        is_escaped = is_text && char == '\\' && !is_escaped;
        at += char.len_utf8();
    }
}

impl<'a> JsonObject<'a> {
    /// Returns the members, or `None` if the text is not a JSON object. Of two members of one name, the
    /// last one counts.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// Returns the member of this name, or `null` if it is missing or cannot be read.
    pub(crate) fn get(&self, name: &str) -> Value {
        let member = self.0.get(name);
        let value = member.and_then(|member| serde_json::from_str(member.get()).ok());
        value.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_a_member_that_cannot_be_read_affects_no_other() {
        let deep = format!(
            r#"{{"code":"a","more":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        for body in [
            br#"{"code":"a"}"#.as_slice(),
            b"\xef\xbb\xbf{\"code\":\"a\",\"more\":\"x\"}",
            b"{\"more\":\"ung\xfcltig\",\"code\":\"a\"}",
            br#"{"more":"\ud83d","code":"a"}"#,
            br#"{"more":{"n":1e999},"code":"a"}"#,
            b"{\"more\":\"two\nlines\",\"code\":\"a\"}\n\0",
            br#"{"code":"b","code":"a"}"#,
            deep.as_bytes(),
        ] {
            let text = readable(body);
            let members = JsonObject::of(&text).unwrap();
            assert_eq!(members.get("code"), "a");
            assert_eq!(members.get("missing"), Value::Null);
        }
    }

    #[test]
    fn what_is_not_an_object_has_no_members() {
        for body in ["", "null", "[]", r#"["code"]"#, "{", "<html>", "{}{}"] {
            let text = readable(body.as_bytes());
            assert!(JsonObject::of(&text).is_none(), "{body}");
        }
        let text = readable(br#"{"n": 1e999}"#);
        assert_eq!(JsonObject::of(&text).unwrap().get("n"), Value::Null);
    }

    #[test]
    fn a_text_never_grows_while_it_is_made() {
        let body = [0xff; 1_000];
        let text = readable(&body);
        assert_eq!(text.chars().count(), 1_000);
        assert!(text.capacity() >= text.len());
    }
}
