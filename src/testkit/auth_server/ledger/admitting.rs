//! The resource API's side: who may see and submit jobs.

use super::{Ledger, TokenKind, TokenRef};
use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::refusal::Refusal;
use crate::testkit::auth_server::scope;

#[derive(Clone, Copy, Debug)]
pub(crate) enum JobsAccess {
    Read,
    Submit,
}

impl JobsAccess {
    fn needed_scope(self) -> &'static str {
        match self {
            Self::Read => "jobs:read",
            Self::Submit => "jobs:submit",
        }
    }
}

impl Ledger {
    /// Returns the ID of the token that was presented.
    pub(in crate::testkit::auth_server) fn admit_to_jobs(
        &mut self,
        access: JobsAccess,
        bearer: TokenRef,
        now: UnixTime,
    ) -> Result<String, Refusal> {
        let outcome = self.check_presented(access, bearer, now);
        self.counts.jobs_outcomes.count(&outcome);
        outcome
    }

    fn check_presented(
        &mut self,
        access: JobsAccess,
        bearer: TokenRef,
        now: UnixTime,
    ) -> Result<String, Refusal> {
        let id = self.tokens.recognise(&bearer.required()?)?;
        let outcome = self.check_allows(access, &id, now);
        self.tokens.note_use(&id, outcome.is_ok());
        outcome.map(|()| id)
    }

    fn check_allows(&self, access: JobsAccess, id: &str, now: UnixTime) -> Result<(), Refusal> {
        let token = self.tokens.usable_as(TokenKind::ShortTerm, id, now)?;
        let needed = access.needed_scope();
        if scope::is_granted(&token.scopes, needed) {
            Ok(())
        } else {
            Err(Refusal::insufficient_scope(needed))
        }
    }
}
