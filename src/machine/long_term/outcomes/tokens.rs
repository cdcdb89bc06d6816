//! What becomes of the tokens that the auth server has issued.

use std::time::Duration;

use crate::clock::Now;
use crate::error::{Error, ErrorKind};
use crate::machine::long_term::task::{Effect, Kind, Step};
use crate::machine::long_term::{LongTerm, Unproven};
use crate::observe::Event;
use crate::store::{Dated, Record, Retiring, Rotation};
use crate::token::{LongTermToken, ShortTermToken};

impl LongTerm {
    /// The next token of this record is the current one from now on.
    pub(super) fn rotated(&mut self, mut before: Record) {
        let token_id = self.current().and_then(LongTermToken::shown_id);
        let rotated = Event::Rotated {
            token_id: token_id.map(str::to_owned),
            previous_id: before.current().shown_id().map(str::to_owned),
        };
        self.pending.push_back(Step::Tell(rotated));
        self.used_authorities.extend(before.rotation.take().1);
    }

    /// Refreshes what is served that was minted from tokens which are not used any more.
    pub(super) fn refresh_superseded(&mut self, before: &Record) {
        for token in before.tokens_in_use() {
            if self.has_superseded(token) {
                let superseded = token.clone();
                self.effects.push(Effect::Refresh { superseded });
            }
        }
    }

    /// This short-term token can ask for the next one. It is stored before it does.
    pub(super) fn authorized(
        &mut self,
        with: &LongTermToken,
        token: ShortTermToken,
        replacement: Option<Dated>,
        now: Now,
    ) {
        let mut with = with.clone();
        if let Some(replacement) = replacement {
            let by = replacement.token.clone();
            self.replace(&with, replacement, now);
            with = by;
        }
        match self.record.clone() {
            Some(mut record)
                if !self.is_draining
                    && record.current().reads_like(&with)
                    && matches!(record.rotation, Rotation::Settled) =>
            {
                record.rotation = Rotation::Asking { with: token };
                self.is_authority_new = true;
                self.mark_unstored(false);
                self.set(record, now);
            }
            _ => self.used_authorities.push(token),
        }
    }

    /// The request for the next token was answered.
    pub(super) fn asked(
        &mut self,
        with: &ShortTermToken,
        after: &LongTermToken,
        token: Dated,
        now: Now,
    ) {
        self.is_authority_new = false;
        let Some(mut record) = self.record.clone() else {
            return;
        };
        let is_with = |it: &ShortTermToken| it.reads_like(with);
        let asks = record.rotation.asking_with().is_some_and(is_with);
        if !asks || !record.current().reads_like(after) {
            return self.retire_late(token, Duration::ZERO, now);
        }
        if token.token.is_same(record.current()) {
            return self.returned_again(record, token, now);
        }
        if let (Some(refused), _) = record.rotation.take()
            && !refused.token.reads_like(&token.token)
        {
            let refused = Retiring::after(refused.token, self.grace_of_others(), now.wall);
            record.retiring.push(refused);
        }
        let next = token.token.clone();
        record.rotation = Rotation::Proving {
            next: token,
            with: Some(with.clone()),
        };
        self.proof = None;
        self.keep_obtained(next, record, now);
    }

    /// The server returned the token in use instead of another. It may have prolonged its life, also with another text for
    /// the same ID: to revoke the text before would then end both.
    fn returned_again(&mut self, mut record: Record, token: Dated, now: Now) {
        let is_same_text = token.token.reads_like(record.current());
        if is_same_text && token.ends_at <= record.current.ends_at {
            let text = "the auth server returned the long-term token in use instead of a new one";
            return self.rotation_failed(Error::own(ErrorKind::Protocol, text), now);
        }
        let token_id = token.token.shown_id().map(str::to_owned);
        let text = token.token.clone();
        record.current = token;
        self.abandon_rotation(&mut record, now);
        self.keep_obtained(text, record, now);
        self.begin_dates(now);
        self.backoffs.succeeded(Kind::Rotation);
        self.rotation_error = None;
        self.changes += 1;
        self.pending.push_back(Step::Tell(Event::Rotated {
            previous_id: token_id.clone(),
            token_id,
        }));
    }

    /// The grant has brought the token that follows this one.
    pub(super) fn obtained(&mut self, after: Option<&LongTermToken>, token: Dated, now: Now) {
        let Some(mut record) = self.record.clone() else {
            return;
        };
        let is_as_it_was = after.is_some_and(|after| record.current().reads_like(after))
            && matches!(record.rotation, Rotation::Settled);
        if !is_as_it_was {
            return self.retire_late(token, Duration::ZERO, now);
        }
        if token.token.is_same(record.current()) {
            return self.returned_again(record, token, now);
        }
        let next = token.token.clone();
        record.rotation = Rotation::Proving {
            next: token,
            with: None,
        };
        self.keep_obtained(next, record, now);
    }

    /// The grant has brought a token in place of those that the server refuses.
    pub(super) fn recovered(&mut self, after: Option<&LongTermToken>, token: Dated, now: Now) {
        let is_after = |current: &LongTermToken| after.is_some_and(|it| it.reads_like(current));
        let is_as_it_was = match self.current() {
            Some(current) => is_after(current),
            None => after.is_none(),
        };
        if !is_as_it_was {
            // A caller has set another token meanwhile, which takes precedence.
            return self.retire_late(token, Duration::ZERO, now);
        }
        let text = token.token.clone();
        let mut record = Record::new(token);
        if let Some(mut old) = self.record.clone() {
            self.abandon_rotation(&mut old, now);
            record.retiring = old.retiring;
            // To show a replaced token to the server again would end what was obtained with it.
            if !self.setup.replaces {
                self.supersede_refused(old.current, &mut record, now);
            }
        }
        let token_id = text.shown_id().map(str::to_owned);
        self.unproven = Some(Unproven {
            token: text.clone(),
            is_refused: false,
        });
        self.keep_obtained(text, record, now);
        self.pending
            .push_back(Step::Tell(Event::LongTermObtained { token_id }));
    }

    /// Revokes the refused token if this process obtained it. Otherwise keeps it as a fallback.
    fn supersede_refused(&mut self, refused: Dated, record: &mut Record, now: Now) {
        let token = refused.token.clone();
        if !token.reads_like_any(&self.obtained) {
            self.fallbacks.push(refused);
            return;
        }
        let is_unproven = self
            .unproven
            .as_ref()
            .is_some_and(|it| it.token.reads_like(&token));
        let grace = if is_unproven {
            Duration::ZERO
        } else {
            self.grace_of_others()
        };
        record
            .retiring
            .push(Retiring::after(token, grace, now.wall));
    }

    /// Revokes the other superseded tokens before this one, whose revocation has failed.
    pub(super) fn revoke_last(&mut self, token: &LongTermToken) {
        if let Some(record) = &mut self.record
            && let Some(at) = (record.retiring.iter()).position(|it| it.token.reads_like(token))
        {
            let failed = record.retiring.remove(at);
            record.retiring.push(failed);
        }
    }

    pub(super) fn forget_retiring(&mut self, token: &LongTermToken, now: Now) {
        if let Some(mut record) = self.record.clone() {
            record.retiring.retain(|it| !it.token.reads_like(token));
            self.mark_unstored(false);
            self.set(record, now);
        }
        let token = token.clone();
        self.effects.push(Effect::Forget { token });
    }
}
