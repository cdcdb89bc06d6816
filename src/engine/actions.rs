//! Executes the actions of the machine.

use std::sync::Arc;
use std::time::Duration;

use super::exchange;
use super::long_term::{self, TaskResult};
use super::revocation;
use super::shared::Shared;
use super::state::Retired;
use super::task_result::{accept_arrived, exchanged, fail, publish, task_ended};
use super::tasks::{Ended, Tasks};
use crate::calls::{give_back, working_for};
use crate::clock::Moment;
use crate::error::Error;
use crate::machine::{Action, Call, SetAction, SetId, Task};
use crate::observe::{self, Event};
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

/// Executes an action that takes no time.
pub(super) fn act(
    shared: &Arc<Shared>,
    tasks: &mut Tasks,
    action: Action,
    retired: Option<Retired>,
    now: Moment,
) {
    match action {
        Action::Exchange {
            call,
            set,
            with,
            within,
        } => begin(shared, tasks, (call, set), with, within),
        Action::Failed { set, error } => fail(shared, set, error, now),
        Action::Accept(set) => accept_arrived(shared, set),
        Action::ForSet(SetAction::Publish(set)) => publish(shared, set, now),
        Action::ForSet(SetAction::Retire(_)) => {
            if let Some(retired) = retired {
                let scopes = Arc::clone(&retired.set.scopes);
                shared.observers.tell(Event::ScopesRetired { scopes });
                revoke_retired(shared, tasks, retired);
            }
        }
        Action::ForSet(SetAction::RevokeEvicted(_)) => {
            if let Some(evicted) = retired {
                revoke_retired(shared, tasks, evicted);
            }
        }
        action => act_for_long_term(shared, tasks, action),
    }
}

/// Executes an action for the long-term token.
pub(super) fn act_for_long_term(shared: &Arc<Shared>, tasks: &mut Tasks, action: Action) {
    match action {
        Action::Begin(call, task) => begin_task(shared, tasks, call, task),
        Action::Release => {
            let lease = shared.engine().lease.take();
            give_back(lease);
        }
        Action::RevokeAuthority(token) => revoke(shared, tasks, [token]),
        Action::Tell(event) => {
            shared.observers.tell(event);
            shared.changed.notify_waiters();
        }
        _ => {}
    }
}

fn begin(
    shared: &Arc<Shared>,
    tasks: &mut Tasks,
    (call, set): (Call, SetId),
    with: Option<LongTermToken>,
    within: Duration,
) {
    let (set, failures) = {
        let engine = shared.engine();
        let Some(set) = engine.sets.get(set) else {
            return;
        };
        (Arc::clone(set), engine.machine.failures(set.id))
    };
    shared.observers.tell(Event::ExchangeBegan {
        scopes: Arc::clone(&set.scopes),
        failures,
    });
    let span = observe::exchange_span(&shared.settings.name, &set.scopes);
    let exchange = exchange::exchange(Arc::clone(shared), Arc::clone(&set), with.clone(), within);
    let (shared, began) = (Arc::clone(shared), shared.now());
    tasks.unfinished += 1;
    tasks.start(span, exchange, move |outcome| {
        let took = shared.now().since(began);
        shared.observers.metrics.exchange_took(&set.scopes, took);
        exchanged(&shared, &set, call, with.as_ref(), outcome);
        Ended::Exchange
    });
}

fn begin_task(shared: &Arc<Shared>, tasks: &mut Tasks, call: Call, task: Task) {
    let span = match task {
        Task::Load | Task::Save { .. } | Task::Lease { .. } | Task::Renew { .. } => {
            observe::watch_span(&shared.settings.name)
        }
        _ => observe::rotation_span(&shared.settings.name),
    };
    let lease = match task {
        Task::Renew { .. } => shared.engine().lease.take(),
        _ => None,
    };
    let work = {
        let shared = Arc::clone(shared);
        async move {
            Ok::<_, Error>(working_for(shared.key(), long_term::run(&shared, task, lease)).await)
        }
    };
    let shared = Arc::clone(shared);
    tasks.unfinished += 1;
    tasks.start(span, work, move |ran| {
        task_ended(&shared, call, ran.unwrap_or_else(TaskResult::from));
        Ended::Task
    });
}

fn revoke_retired(shared: &Arc<Shared>, tasks: &mut Tasks, Retired { left, .. }: Retired) {
    revoke(shared, tasks, left.into_iter().map(|minted| minted.token));
}

/// Revokes these tokens, except those that an open scope set uses and those that are revoked later for an evicted scope
/// set.
fn revoke(
    shared: &Arc<Shared>,
    tasks: &mut Tasks,
    tokens: impl IntoIterator<Item = ShortTermToken>,
) {
    let profile = &shared.settings.profile;
    if profile.shares_tokens || profile.revocation_ends_long_term {
        return;
    }
    let unused = shared.engine().unused(tokens);
    for token in unused {
        let span = observe::revocation_span(&shared.settings.name, token.shown_id());
        let (shared, revoked) = (Arc::clone(shared), token.clone());
        let revocation =
            async move { revocation::revoke_in_time(&shared, TokenRef::ShortTerm(&token)).await };
        tasks.start(span, revocation, |outcome| {
            Ended::Revocation(revoked, outcome)
        });
    }
}
