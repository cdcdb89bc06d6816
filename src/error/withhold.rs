//! Leaving out of an error what repeats a secret.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::Error;
use crate::text::{echoes, echoes_in_code, on_one_line};

/// How many causes are searched, and how many characters of each.
const MOST_CAUSES: usize = 16;
const LONGEST_CAUSE: usize = 4_096;

const WITHHELD: &str = "(withheld: it repeats a secret)";

impl Error {
    /// Replaces what repeats one of these secrets: the server's message, its code, the source with its causes.
    pub(crate) fn without(self, secrets: &[&str]) -> Self {
        let repeats = |text: &str| echoes(text, secrets.iter().copied());
        let is_message_withheld = self.inner.message.as_deref().is_some_and(repeats);
        let is_code_withheld = (self.code()).is_some_and(|code| echoes_in_code(code, secrets));
        let is_source_withheld = causes(&self).any(|cause| repeats(&cause));
        if !(is_message_withheld || is_code_withheld || is_source_withheld) {
            return self;
        }
        let mut error = self;
        let inner = Arc::make_mut(&mut error.inner);
        if is_message_withheld {
            inner.message = Some(WITHHELD.to_owned());
        }
        if let Some(code) = inner.code.as_mut().filter(|_| is_code_withheld) {
            inner.text = inner.text.replace(code.as_str(), WITHHELD);
            WITHHELD.clone_into(code);
        }
        if is_source_withheld {
            return error.with_source(Withheld);
        }
        error
    }
}

/// Each cause as it is shown, in both ways.
fn causes(error: &Error) -> impl Iterator<Item = String> {
    let first = error.source();
    let chain = std::iter::successors(first, |cause: &&dyn StdError| (*cause).source());
    chain.take(MOST_CAUSES).flat_map(|cause| {
        [
            on_one_line(&cause, LONGEST_CAUSE),
            on_one_line(&format_args!("{cause:?}"), LONGEST_CAUSE),
        ]
    })
}

/// In the place of a source that repeats a secret.
#[derive(Debug)]
struct Withheld;

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WITHHELD)
    }
}

impl StdError for Withheld {}

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

        let new = |code: &str| Error::new(ErrorKind::Denied, format!("the server answers {code}"));
        for (error, shown) in [
            (
                new("x").with_message("it is hunter2".to_owned()),
                "the server answers x: (withheld: it repeats a secret)",
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
    fn s9_of_a_cause_that_never_ends_only_the_beginning_is_searched() {
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

        let error = Error::transient(Endless).without(SECRETS);
        let source = error.source().unwrap();
        assert!(source.downcast_ref::<Endless>().is_some());
    }
}
