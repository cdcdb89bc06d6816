//! The answers of a timeline's issuer, and the tokens in them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use everbearer::testkit::{self, ManualClock};
use everbearer::{Clock, Error, ShortTermToken};

use super::faults::Faults;
use crate::scenarios::format::{Failure, Kind, Reply, Span, Stated};

/// Makes the tokens that answers hand out, and remembers their names.
#[derive(Clone)]
pub(super) struct Mint {
    clock: ManualClock,
    faults: Faults,
    handed_out: Arc<Mutex<HandedOut>>,
}

#[derive(Default)]
struct HandedOut {
    last: Option<ShortTermToken>,
    /// By text.
    names: HashMap<String, String>,
}

impl Mint {
    pub(super) fn new(clock: ManualClock, faults: Faults) -> Self {
        Self {
            clock,
            faults,
            handed_out: Arc::default(),
        }
    }

    pub(super) fn answers(&self, replies: &[Reply]) -> Vec<testkit::Reply> {
        let answers = replies.iter().map(|reply| {
            let times = reply.times.map_or(1, NonZeroUsize::get);
            std::iter::repeat_n(self.answer(reply), times)
        });
        answers.flatten().collect()
    }

    pub(super) fn answer(&self, reply: &Reply) -> testkit::Reply {
        let answer = match reply.kind.clone() {
            Kind::Token { stated, again } => {
                let mint = self.clone();
                testkit::Reply::from_fn(move |name| mint.token(name, &stated, again))
            }
            Kind::Done => testkit::Reply::done(),
            Kind::Fail(failure, retry_after) => {
                let error = match failure {
                    Failure::Transient => Error::transient("the timeline says so"),
                    Failure::Terminal => Error::terminal("the timeline says so"),
                };
                testkit::Reply::error(match retry_after {
                    Some(Span(pause)) => error.with_retry_after(pause),
                    None => error,
                })
            }
            Kind::Hang => testkit::Reply::hang(),
            Kind::Panic => testkit::Reply::panic(),
        };
        answer.after(reply.after.0)
    }

    /// Returns the token of this name, or the last token again, with the present statements.
    fn token(&self, name: &str, stated: &Stated, again: bool) -> Result<ShortTermToken, Error> {
        let mut handed_out = self.handed_out.lock().unwrap();
        let now = self.clock.wall();
        let (text, name) = if again {
            let Some(last) = &handed_out.last else {
                let fault = "an answer with `again` came before any exchange had succeeded";
                self.faults.add(fault.to_owned());
                return Err(Error::terminal(fault));
            };
            (last.expose().to_owned(), name_of(last))
        } else {
            let jwt = stated.claims.as_ref().map(|claims| claims.jwt(name, now));
            (jwt.unwrap_or_else(|| name.to_owned()), name.to_owned())
        };
        let mut token = ShortTermToken::builder(&text).token_id(&name);
        if let Some(Span(life)) = stated.expires_in {
            token = token.expires_in(life);
        }
        if let Some(end) = stated.expires_at {
            token = token.expires_at(end.at(now));
        }
        if let Some(date) = stated.date {
            token = token.server_time(date.at(now));
        }
        let token = token.build()?;
        handed_out.names.insert(text, name);
        handed_out.last = Some(token.clone());
        Ok(token)
    }

    /// Returns the name of the token with this text.
    pub(super) fn name_of_text(&self, text: &str) -> String {
        let handed_out = self.handed_out.lock().unwrap();
        let name = handed_out.names.get(text).cloned();
        name.unwrap_or_else(|| panic!("the issuer handed out no token {text:?}"))
    }
}

/// The name by which a timeline knows a token.
pub(super) fn name_of(token: &ShortTermToken) -> String {
    let id = token.token_id();
    id.expect("every token of a timeline has an ID").to_owned()
}
