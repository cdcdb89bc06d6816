//! Prints the report of the shutdown.

use std::io::{Write, stdout};
use std::time::{Duration, SystemTime};

use everbearer::{RevocationOutcome, ShutdownReport, TokenKind, TokenReport};

use crate::duration::show;
use crate::failure::one_line;

pub(crate) fn print(report: &ShutdownReport) {
    let mut text = format!("Stopped; revoking the tokens took {:.1?}.\n", report.took);
    for token in &report.tokens {
        text += "  ";
        text += &line(token);
        text += "\n";
    }
    if report.tokens.is_empty() {
        text += "  no tokens to revoke\n";
    }
    // A closed pipe must not fail the shutdown.
    let _ = stdout().write_all(text.as_bytes());
}

fn line(token: &TokenReport) -> String {
    let kind = match token.kind {
        TokenKind::ShortTerm => "short-term",
        TokenKind::LongTerm => "long-term",
        _ => "other",
    };
    let id = token.token_id.as_deref().unwrap_or("(without ID)");
    let outcome = match &token.outcome {
        RevocationOutcome::Revoked => "revoked".to_owned(),
        RevocationOutcome::Kept => format!("kept{}", left(token.ends_at)),
        RevocationOutcome::NotRevoked(error) => {
            format!("NOT revoked{}: {}", left(token.ends_at), one_line(error))
        }
        RevocationOutcome::Unknown(error) => {
            format!("unknown{}: {}", left(token.ends_at), one_line(error))
        }
        RevocationOutcome::Unsupported => format!("cannot be revoked{}", left(token.ends_at)),
        _ => "see the log".to_owned(),
    };
    format!("{kind:<10}  {id}  {outcome}")
}

fn left(ends_at: Option<SystemTime>) -> String {
    #[allow(
        clippy::disallowed_methods,
        reason = "an example may read the clock directly"
    )]
    let now = SystemTime::now();
    match ends_at.map(|at| at.duration_since(now)) {
        Some(Ok(left)) if left > Duration::ZERO => format!(", valid for at most {}", show(left)),
        _ => String::new(),
    }
}
