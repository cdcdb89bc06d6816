//! A token that a resource server refused, and a token whose remaining life is too short for a caller.

use std::sync::Arc;

use super::scope_set::ScopeSet;
use super::shared::Shared;
use crate::clock::Moment;
use crate::machine::{Generation, Input, Outlook, Window};
use crate::observe::Event;

/// Whether a newer token replaces a refused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// No exchange begins because of the refusal.
    None,
    /// The next exchange begins after a pause: at this moment, if that is known.
    Later(Option<Moment>),
    /// A newer token is there, or an exchange for one is in flight or about to begin.
    Soon,
}

/// Returns when the token of this generation has settled, if that lies ahead and no newer one comes: until then, servers
/// may refuse it that have not heard of it yet.
pub(crate) fn settles_at(
    shared: &Shared,
    scope_set: &ScopeSet,
    generation: Generation,
) -> Option<Moment> {
    let (set, now) = (scope_set.id, shared.now());
    let machine = &shared.engine().machine;
    let window = machine.window(set)?;
    let settles_at = window.received + shared.settings.policies.refresh.settling_time;
    let is_newest = window.generation == generation && !machine.replaces(set, generation);
    (is_newest && now < settles_at).then_some(settles_at)
}

/// Notes that a resource server refused this generation. Returns whether a newer one replaces it.
pub(crate) fn deny(shared: &Shared, scope_set: &ScopeSet, generation: Generation) -> Replacement {
    let (set, now) = (scope_set.id, shared.now());
    let (is_news, replacement) = {
        let machine = &mut shared.engine().machine;
        let known = machine.is_replacing(set, generation);
        machine.handle(Input::Denied { set, generation }, now);
        let is_newer = |window: Window| window.generation > generation;
        let is_open = machine.is_open(set);
        let replacement = if !is_open && machine.is_running() {
            Replacement::Soon // the next caller opens the scope set again
        } else if !machine.replaces(set, generation) {
            Replacement::None
        } else if machine.window(set).is_some_and(is_newer) {
            Replacement::Soon
        } else {
            match machine.outlook(set, generation, now) {
                Outlook::Imminent => Replacement::Soon,
                Outlook::At(at) => Replacement::Later(Some(at)),
                _ => Replacement::Later(None),
            }
        };
        let is_news = is_open && !known && replacement != Replacement::None;
        (is_news, replacement)
    };
    if is_news {
        shared.observers.tell(Event::Denied {
            scopes: Arc::clone(&scope_set.scopes),
            generation: generation.0,
        });
        shared.wake.notify_one();
    }
    replacement
}

/// Demands a longer remaining life than this generation has. Returns whether a newer token is there, in
/// flight or demanded.
pub(crate) fn top_up(shared: &Shared, scope_set: &ScopeSet, generation: Generation) -> bool {
    let (set, now) = (scope_set.id, shared.now());
    let machine = &mut shared.engine().machine;
    machine.handle(Input::Outlasted { set, generation }, now);
    machine.replaces(set, generation)
}
