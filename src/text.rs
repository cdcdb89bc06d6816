//! Text that comes from elsewhere, before it is shown: cut, on one line, and searched for secrets.

use std::collections::HashSet;
use std::fmt::{self, Write};

/// A stretch of a secret of this length in a text, in bytes, is taken for an echo of the secret.
pub(crate) const ECHO: usize = 8;

/// Returns whether the character can be shown in a log: it ends no line, and does not change the direction of
/// what follows.
pub(crate) fn is_printable(char: char) -> bool {
    !char.is_control()
        && !matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text on one line, cut to this number of characters. Formats no more of it than that.
pub(crate) fn on_one_line(text: &dyn fmt::Display, longest: usize) -> String {
    let mut line = Line {
        text: String::new(),
        left: longest,
    };
    // An error means that the line is full, or that the text cannot be formatted further.
    let _ = write!(line, "{text}");
    line.text
}

struct Line {
    text: String,
    left: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for char in part.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(if is_printable(char) { char } else { ' ' });
        }
        Ok(())
    }
}

/// Returns whether any stretch of a secret stands in the text, or a shorter secret as a word. The time that it
/// takes grows with the length of the text plus that of the secrets, of which there may be megabytes.
pub(crate) fn echoes<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> bool {
    let stretches: HashSet<&[u8]> = text.as_bytes().windows(ECHO).collect();
    // Most stretches of a secret begin with a pair of bytes that begins none of the text. Without this look,
    // the search of 10,000 tokens takes 15 times as long.
    let mut pairs = vec![false; 1 << 16];
    for stretch in &stretches {
        set(&mut pairs, stretch);
    }
    secrets.into_iter().any(|secret| {
        if secret.len() < ECHO {
            return has_word(text, secret);
        }
        let mut windows = secret.as_bytes().windows(ECHO);
        windows.any(|stretch| is_set(&pairs, stretch) && stretches.contains(stretch))
    })
}

/// Returns whether the secret stands in the text, and is not a part of a longer word.
fn has_word(text: &str, secret: &str) -> bool {
    let is_part = |char: Option<char>| char.is_some_and(char::is_alphanumeric);
    !secret.is_empty()
        && text.match_indices(secret).any(|(at, _)| {
            let (before, after) = (text.get(..at), text.get(at + secret.len()..));
            let before = before.and_then(|text| text.chars().next_back());
            let after = after.and_then(|text| text.chars().next());
            !is_part(before) && !is_part(after)
        })
}

fn set(pairs: &mut [bool], stretch: &[u8]) {
    if let Some(pair) = pair(stretch).and_then(|pair| pairs.get_mut(pair)) {
        *pair = true;
    }
}

fn is_set(pairs: &[bool], stretch: &[u8]) -> bool {
    pair(stretch).and_then(|pair| pairs.get(pair)) == Some(&true)
}

fn pair(stretch: &[u8]) -> Option<usize> {
    let pair = stretch.first_chunk::<2>()?;
    Some(usize::from(u16::from_ne_bytes(*pair)))
}

/// Error codes of OAuth 2.0 and its extensions, and of the contract. They are shown even if a secret repeats
/// one.
const CODES: &[&str] = &[
    "access_denied",
    "authorization_pending",
    "conflict",
    "expired_token",
    "insufficient_scope",
    "interaction_required",
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "login_required",
    "not_found",
    "rate_limited",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "token_expired",
    "token_revoked",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
    "use_dpop_nonce",
];

/// Returns whether an error code that is not a known one is a secret, or repeats a stretch of one. A short
/// secret that is only a part of the code does not count.
pub(crate) fn echoes_in_code(code: &str, secrets: &[&str]) -> bool {
    if CODES.contains(&code) {
        return false;
    }
    let long = secrets.iter().filter(|secret| secret.len() >= ECHO);
    secrets.contains(&code) || echoes(code, long.copied())
}

/// The secret without the byte order mark and the line breaks that editors and tools add to files and
/// variables.
pub(crate) fn without_line_breaks(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_end_matches(['\r', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s9_a_stretch_of_a_secret_is_found() {
        let secret = "correct-horse";
        for text in ["correct-", "it is correct-horse!", "x rect-hor"] {
            assert!(echoes(text, [secret]), "{text}");
        }
        for text in ["", "correct", "correct horse", "Correct-Horse"] {
            assert!(!echoes(text, [secret]), "{text}");
        }
        for text in ["it is abc", "abc", "(abc)", "abcd, but abc"] {
            assert!(echoes(text, ["abc"]), "{text}");
        }
        for text in ["it is", "abcd", "xabc", "xabc abcx"] {
            assert!(!echoes(text, ["", "abc"]), "{text}");
        }
    }

    #[test]
    fn s9_a_short_secret_does_not_hide_a_code_that_it_is_part_of() {
        let secrets = ["grant", "a", "my_invalid_grant_secret", "hunter2"];
        for code in ["invalid_grant", "no_grant", "a_b"] {
            assert!(!echoes_in_code(code, &secrets), "{code}");
        }
        for code in ["hunter2", "no_grant_secret", "a"] {
            assert!(echoes_in_code(code, &secrets), "{code}");
        }
    }

    /// With a text of 1 MB and a token of 60 kB, comparing each stretch with the whole text takes minutes.
    #[test]
    fn s9_long_texts_and_secrets_are_searched_in_time() {
        let text = "0123456789".repeat(100_000);
        let token = "abcdefghij".repeat(6_000);
        let tokens: Vec<&str> = std::iter::repeat_n(token.as_str(), 100).collect();
        assert!(!echoes(&text, tokens.iter().copied()));
        assert!(echoes(&(text + "cdefghij"), tokens));
    }

    #[test]
    fn s9_a_line_holds_no_character_that_ends_it_or_turns_its_direction() {
        let text = "a\nb\r\u{85}c\u{2028}d\u{2029}e\u{202e}f\u{2066}g\u{200f}h\u{61c}i\0";
        assert_eq!(on_one_line(&text, 100), "a b  c d e f g h i ");
        assert_eq!(on_one_line(&"ééé", 2), "éé");
    }

    #[test]
    fn s12_a_byte_order_mark_and_line_breaks_are_left_out() {
        for text in ["s e", "s e\n", "s e\r\n\n", "\u{feff}s e\r\n"] {
            assert_eq!(without_line_breaks(text), "s e");
        }
        assert_eq!(without_line_breaks(" s\n e "), " s\n e ");
    }
}
