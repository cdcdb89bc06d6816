//! Withholds the parts of an error that repeat a secret.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::Error;
use crate::text::{echoes, echoes_in_code, on_one_line};
use crate::unwind::caught;

/// How many causes are searched, and how many characters of each. Longer ones are truncated.
const MOST_CAUSES: usize = 16;
const LONGEST_CAUSE: usize = 16_384;

const WITHHELD: &str = "(withheld: it repeats a secret)";

impl Error {
    /// Replaces each part that repeats one of these secrets: the server's message, its code, the source with its causes.
    /// Replaces a source that is too long to be searched by the beginning of its text.
    pub(crate) fn without(self, secrets: &[&str]) -> Self {
        let repeats = |text: &str| echoes(text, secrets.iter().copied());
        let causes = Causes::of(&self);
        let code = self.code().filter(|code| echoes_in_code(code, secrets));
        let is_code_withheld = code.is_some();
        // There may be many secrets, so all texts are searched at once.
        let message = self.inner.message.as_deref().unwrap_or_default();
        let is_text_clean = !repeats(&format!("{message}\n{}", causes.searched));
        if is_text_clean && !is_code_withheld && !causes.is_cut {
            return self;
        }
        let is_message_withheld = !is_text_clean && repeats(message);
        let is_source_withheld = !is_text_clean && repeats(&causes.searched);
        let mut error = self;
        let inner = Arc::make_mut(&mut error.inner);
        if is_message_withheld {
            inner.message = Some(WITHHELD.to_owned());
        }
        if let Some(code) = inner.code.as_mut().filter(|_| is_code_withheld) {
            if let Some(text) = inner.text.strip_suffix(code.as_str()) {
                inner.text = format!("{text}{WITHHELD}");
            }
            WITHHELD.clone_into(code);
        }
        if is_source_withheld {
            return error.with_source(Replacement(WITHHELD.to_owned()));
        }
        if causes.is_cut {
            return error.with_source(Replacement(causes.shown));
        }
        error
    }
}

/// The causes of an error as text.
struct Causes {
    /// As `Display` shows them.
    shown: String,
    /// As `Display` and as `Debug` show them.
    searched: String,
    /// Whether the causes are longer than what was searched.
    is_cut: bool,
}

impl Causes {
    fn of(error: &Error) -> Self {
        let (mut shown, mut searched, mut is_cut) = (String::new(), String::new(), false);
        let mut cause = error.source();
        for number in 0.. {
            let Some(present) = cause else { break };
            if number == MOST_CAUSES {
                is_cut = true;
                break;
            }
            // User code, which may panic.
            let texts = caught(|| {
                [
                    on_one_line(&present, LONGEST_CAUSE + 1),
                    on_one_line(&format_args!("{present:?}"), LONGEST_CAUSE + 1),
                ]
            });
            let [display, debug] = texts.unwrap_or_else(|| {
                is_cut = true;
                ["its text cannot be formatted".to_owned(), String::new()]
            });
            is_cut |= [&display, &debug]
                .iter()
                .any(|text| text.chars().count() > LONGEST_CAUSE);
            if !shown.ends_with(&display) {
                let separator = if shown.is_empty() { "" } else { ": " };
                shown = format!("{shown}{separator}{display}");
            }
            searched = format!("{searched}\n{display}\n{debug}");
            cause = caught(|| present.source()).flatten();
        }
        Self {
            shown: on_one_line(&shown, LONGEST_CAUSE),
            searched,
            is_cut,
        }
    }
}

/// The text that replaces a source.
struct Replacement(String);

impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Replacement {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const SECRETS: &[&str] = &["hunter2", "correct-horse", "grant"];

    #[test]
    fn s9_what_repeats_no_secret_stays() {
        let error = Error::terminal("no such role").with_code("invalid_grant");
        let kept = error.clone().without(SECRETS);
        assert!(Arc::ptr_eq(&error.inner, &kept.inner));
    }

    #[test]
    fn s9_a_message_a_code_and_a_cause_that_repeat_a_secret_are_withheld() {
        #[derive(Debug, thiserror::Error)]
        #[error("the vault says no")]
        struct Cause(#[source] std::io::Error);

        let new = |code: &str| Error::own(ErrorKind::Denied, format!("the server answers {code}"));
        for (error, shown) in [
            (
                new("x").with_message("it is hunter2".to_owned()),
                "the server answers x: (withheld: it repeats a secret)",
            ),
            (
                new("an").with_code("an").with_message("no".to_owned()),
                "the server answers an: no",
            ),
            (
                new("hunter2").with_code("hunter2"),
                "the server answers (withheld: it repeats a secret)",
            ),
            (
                new("x").with_source(Cause(std::io::Error::other("not correct-horse"))),
                "the server answers x",
            ),
        ] {
            let code = error.code().is_some();
            let error = error.without(SECRETS);
            assert_eq!(error.to_string(), shown);
            assert_eq!(error.code().is_some(), code);
            let shown = format!("{error:?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("correct-"),
                "{shown}"
            );
        }
    }

    #[test]
    fn s9_a_cause_that_is_too_long_to_be_searched_is_replaced_by_its_beginning() {
        #[derive(Debug)]
        struct Endless;

        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("and so on ")?;
                }
            }
        }

        impl StdError for Endless {}

        let text = format!("{}correct-horse", "x".repeat(LONGEST_CAUSE));
        for error in [Error::transient(Endless), Error::transient(text)] {
            let error = error.without(SECRETS);
            let shown = format!("{error:?}");
            assert!(
                shown.len() < 2 * LONGEST_CAUSE && !shown.contains("correct-"),
                "{shown}"
            );
        }
    }

    #[test]
    fn e17_a_cause_whose_text_panics_is_replaced() {
        #[derive(Debug)]
        struct Panics;

        impl fmt::Display for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("no text")
            }
        }

        impl StdError for Panics {}

        let error = Error::terminal(Panics).without(SECRETS);
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(format!("{error:?}").contains("its text cannot be formatted"));
    }
}
