//! Finds contradictions between the parts of a timeline before it is played.

use std::collections::BTreeMap;

use super::{Call, Expect, File, Given, Step, What};

impl File {
    pub(super) fn check(&self) -> Result<(), String> {
        let is_blank = |text: &String| text.trim().is_empty();
        if is_blank(&self.title) {
            return Err("`title` is empty".to_owned());
        }
        if self.shows.is_empty() || self.shows.iter().any(is_blank) {
            return Err("`shows` is empty or has an empty item".to_owned());
        }
        if self.steps.is_empty() {
            return Err("`steps` is empty".to_owned());
        }
        self.given.check()
    }
}

impl Given {
    fn check(&self) -> Result<(), String> {
        let at = |place: String| move |problem: &str| format!("given.{place}: {problem}");
        for (index, reply) in self.exchanges.iter().enumerate() {
            let place = at(format!("exchanges[{index}]"));
            reply.check_exchange().map_err(place)?;
        }
        for (index, reply) in self.revocations.iter().enumerate() {
            let place = at(format!("revocations[{index}]"));
            reply.check_revocation().map_err(place)?;
        }
        let place = at("otherwise".to_owned());
        self.otherwise.check_exchange().map_err(place)
    }
}

/// What follows from the steps that were checked.
#[derive(Default)]
pub(super) struct Story<'a> {
    last: Option<&'a Step>,
    calls: BTreeMap<&'a str, Present>,
    may_have_served: bool,
    handles_dropped: bool,
}

/// Whether the calls of a name are there.
#[derive(Clone, Copy, PartialEq)]
enum Present {
    Yes,
    Dropped,
}

impl<'a> Story<'a> {
    /// Checks the next step.
    pub(super) fn check(&mut self, step: &'a Step) -> Result<(), String> {
        if self.last.is_some_and(|last| step.at < last.at) {
            return Err("is earlier than the step before".to_owned());
        }
        self.last = Some(step);
        if let Some(call) = &step.call {
            self.call(call)?;
        }
        if let Some(name) = &step.drop {
            self.present(name)?;
            self.calls.insert(name, Present::Dropped);
        }
        if step.drop_handles.is_some() {
            if self.handles_dropped {
                return Err("`drop_handles` a second time".to_owned());
            }
            self.handles_dropped = true;
        }
        if step.renew.is_some() && self.handles_dropped {
            return Err("`renew` after `drop_handles`".to_owned());
        }
        step.expect.as_ref().map_or(Ok(()), |it| self.expect(it))
    }

    fn call(&mut self, call: &'a Call) -> Result<(), String> {
        if self.handles_dropped {
            return Err("a call after `drop_handles`".to_owned());
        }
        if matches!(call.what, What::Reject(_)) && !self.may_have_served {
            return Err("no earlier call can have been served a token to reject".to_owned());
        }
        self.may_have_served |= match call.what {
            What::Token | What::Refresh | What::TokenWith(_) | What::Reject(_) => true,
            What::Authorization | What::Ready | What::Shutdown => false,
        };
        match self.calls.insert(&call.name, Present::Yes) {
            None => Ok(()),
            Some(_) => Err(format!(
                "the name {:?} is taken by an earlier call",
                call.name
            )),
        }
    }

    fn expect(&self, expect: &Expect) -> Result<(), String> {
        if self.handles_dropped && expect.is_of_a_provider() {
            let problem = "the engine's status cannot be expected after `drop_handles`";
            return Err(problem.to_owned());
        }
        expect.calls.keys().try_for_each(|name| self.present(name))
    }

    fn present(&self, name: &str) -> Result<(), String> {
        match self.calls.get(name) {
            Some(Present::Yes) => Ok(()),
            Some(Present::Dropped) => Err(format!("the calls {name:?} were dropped")),
            None => Err(format!("there are no calls {name:?}")),
        }
    }
}
