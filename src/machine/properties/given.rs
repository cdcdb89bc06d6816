//! Strategies for the steps that happen to a machine.

use std::time::Duration;

use proptest::prelude::*;

use crate::policy::Policies;
use crate::policy::{RefreshPolicy, RetryPolicy, RotationPolicy, ScopePolicy};

/// One step that happens to a machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Only time passes.
    Pass,
    /// The exchange in flight of the scope set ends with this answer.
    Land(u8, Answer),
    Demand(u8, Newer),
    Deny(u8, Newer),
    Use(u8),
    Outlast(u8),
    Need(u8, Duration),
    Evict,
    Renew {
        keeps_pauses: bool,
    },
    Interrupt,
    ShutDown,
    Drained,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Token(Duration),
    /// A token with this life and this settling time.
    Unsettled(Duration, Duration),
    /// The token in use again, with this much life left and this upper bound of its life, if there is one.
    Again(Duration, Option<Duration>),
    Transient(Option<Duration>),
    Terminal(Option<Duration>),
}

/// A generation relative to the token in use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Newer {
    /// No generation: the demand is for a refresh that is due.
    Due,
    Any,
    Present,
    Past,
}

pub(super) fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (1_u64..1_000).prop_map(Duration::from_micros),
        (1_u64..2_000).prop_map(Duration::from_millis),
        (1_u64..100_000).prop_map(Duration::from_secs),
        Just(Duration::from_secs(u64::MAX)),
        Just(Duration::MAX),
    ]
}

pub(super) fn passing() -> impl Strategy<Value = Duration> {
    prop_oneof![
        3 => Just(Duration::ZERO),
        4 => (0_u64..5_000).prop_map(Duration::from_millis),
        3 => (0_u64..10_000).prop_map(Duration::from_secs),
    ]
}

pub(super) fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => durations().prop_map(Answer::Token),
        1 => (durations(), passing()).prop_map(|(life, time)| Answer::Unsettled(life, time)),
        2 => (durations(), proptest::option::of(durations()))
            .prop_map(|(left, at_most)| Answer::Again(left, at_most)),
        3 => proptest::option::of(durations()).prop_map(Answer::Transient),
        1 => proptest::option::of(durations()).prop_map(Answer::Terminal),
    ]
}

pub(super) fn rotations() -> impl Strategy<Value = RotationPolicy> {
    let shares = (0.01_f64..0.99, 0.0_f64..0.25);
    let delays = (1_u64..5_000, 1_u32..100);
    let lead = durations().prop_map(|lead| lead.min(crate::policy::LONGEST));
    (shares, lead, any::<bool>(), delays).prop_map(
        |((fraction, jitter), lead, is_manual, (first, times))| {
            let first = Duration::from_millis(first);
            let policy = RotationPolicy::default()
                .fraction(fraction)
                .jitter(jitter)
                .before_end(lead)
                .backoff(first, first * times);
            if is_manual { policy.manual() } else { policy }
        },
    )
}

pub(super) fn newer() -> impl Strategy<Value = Newer> {
    prop_oneof![
        Just(Newer::Due),
        Just(Newer::Any),
        Just(Newer::Present),
        Just(Newer::Past)
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let set = 0_u8..4;
    prop_oneof![
        6 => Just(Step::Pass),
        8 => (set.clone(), answers()).prop_map(|(set, answer)| Step::Land(set, answer)),
        4 => (set.clone(), newer()).prop_map(|(set, newer)| Step::Demand(set, newer)),
        2 => (set.clone(), newer()).prop_map(|(set, newer)| Step::Deny(set, newer)),
        2 => set.clone().prop_map(Step::Use),
        1 => set.clone().prop_map(Step::Outlast),
        1 => (set, passing()).prop_map(|(set, duration)| Step::Need(set, duration)),
        1 => Just(Step::Evict),
        1 => proptest::bool::ANY.prop_map(|keeps_pauses| Step::Renew { keeps_pauses }),
        1 => Just(Step::Interrupt),
    ]
}

pub(super) fn policies() -> impl Strategy<Value = Policies> {
    let refresh = (0.01_f64..0.99, 0.0_f64..0.25, durations(), any::<bool>());
    let lead = proptest::option::of(1_u64..10_000);
    let retry = (1_u64..5_000, 1_u64..100, durations(), 1_u64..100_000);
    (refresh, lead, retry, rotations()).prop_map(|(refresh, lead, retry, rotation)| {
        let (fraction, jitter, margin, lazy) = refresh;
        let (first, times, max_retry_after, pause) = retry;
        let first = Duration::from_millis(first);
        let mut refresh = RefreshPolicy::default()
            .fraction(fraction)
            .jitter(jitter)
            .expiry_margin(margin.min(crate::policy::LONGEST))
            .lazy(lazy);
        if let Some(lead) = lead {
            refresh = refresh.refresh_before(Duration::from_secs(lead));
        }
        Policies {
            refresh,
            retry: RetryPolicy::default()
                .backoff(first, first * u32::try_from(times).unwrap())
                .max_retry_after(max_retry_after.min(crate::policy::LONGEST))
                .terminal_backoff(Duration::from_millis(pause)),
            scopes: ScopePolicy::default()
                .max_sets(3)
                .idle_timeout(Duration::from_secs(600)),
            rotation,
        }
    })
}
