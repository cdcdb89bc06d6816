//! The history in words, which shows why a case has failed.

use std::time::Duration;

use super::Play;
use crate::clock::Moment;
use crate::error::Error;
use crate::machine::long_term::properties::world::{Fault, number, number_of_short};
use crate::machine::long_term::task::{Outcome, Step, Task};
use crate::store::{Record, Rotation, Version};

/// How many lines of a history are shown.
const LONGEST_STORY: usize = 200;

impl Play {
    pub(super) fn note(&mut self, at: usize, step: &Step, fault: Fault) {
        let fault = if fault == Fault::None {
            String::new()
        } else {
            format!(" ({fault:?})")
        };
        let seconds = self
            .now
            .at
            .since(Moment::from_origin(Duration::from_secs(1_000)));
        self.log
            .push(format!("{seconds:?} {at} {}{fault}", named(step)));
    }

    pub(super) fn note_answer(&mut self, at: usize, task: &Task, outcome: &Result<Outcome, Error>) {
        let how = match outcome {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        self.log
            .push(format!("    {at} <- {}: {how}", named_task(task)));
    }

    pub(super) fn story(&self) -> String {
        let stored = self.world.stored.as_ref().map(|(record, version)| {
            let text = format!("{} version {version}", named_record(record));
            text
        });
        let first = &self.log[..self.log.len().min(LONGEST_STORY)];
        format!(
            "{:?}\nstored: {stored:?}\n{}",
            self.beginning,
            first.join("\n")
        )
    }
}

pub(super) fn named(step: &Step) -> String {
    match step {
        Step::Begin(_, task) => named_task(task),
        Step::Exchange { set, with, .. } => format!("exchange {} for {}", number(with), set.0),
        Step::Fail { set, error, .. } => format!("fail {}: {error}", set.0),
        Step::Accept(set) => format!("land {}", set.0),
        Step::Release => "release".to_owned(),
        Step::RevokeAuthority(token) => format!("revoke st-{}", number_of_short(token)),
        Step::Tell(event) => format!("tell {event:?}"),
    }
}

pub(super) fn named_task(task: &Task) -> String {
    match task {
        Task::Load => "load".to_owned(),
        Task::Save { record, over } => {
            format!(
                "save {} over {:?}",
                named_record(record),
                over.as_ref().map(Version::as_str)
            )
        }
        Task::Lease { .. } => "lease".to_owned(),
        Task::Renew { .. } => "renew the lease".to_owned(),
        Task::Authorize { with } => format!("authorize with {}", number(with)),
        Task::Ask { with, .. } => format!("ask with st-{}", number_of_short(with)),
        Task::Obtain { purpose, .. } => format!("obtain to {purpose:?}"),
        Task::Revoke(token) => format!("revoke {}", number(token)),
    }
}

pub(super) fn named_record(record: &Record) -> String {
    let rotation = match &record.rotation {
        Rotation::Settled => String::new(),
        Rotation::Asking { with } => format!(" asking with st-{}", number_of_short(with)),
        Rotation::Proving { next, with } => format!(
            " next {} with {:?}",
            number(&next.token),
            with.as_ref().map(number_of_short)
        ),
    };
    let mut retiring: Vec<u32> = record.retiring.iter().map(|it| number(&it.token)).collect();
    retiring.sort_unstable();
    format!(
        "[{}{rotation} retiring {retiring:?}]",
        number(record.current())
    )
}
