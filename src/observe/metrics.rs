//! What happens, and how a provider is, as metrics of the crate `metrics`. `guide::observation`
//! lists them.
//!
//! If the recorder panics, the sample is lost and the provider goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::{
    Gauge, Label, SharedString, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

use super::event::Event;
use super::status::{State, Status};
use crate::error::{Error, ErrorKind};
use crate::unwind::caught;

const EXCHANGES: &str = "everbearer_exchanges_total";
const EXCHANGE_DURATION: &str = "everbearer_exchange_duration_seconds";
const EXPIRY: &str = "everbearer_token_expiry_timestamp_seconds";
const EXPIRES_IN: &str = "everbearer_token_expires_in_seconds";
const GENERATION: &str = "everbearer_token_generation";
const FAILURES: &str = "everbearer_consecutive_failures";
const BACKOFF: &str = "everbearer_backoff_seconds";
const OUTAGES: &str = "everbearer_outages_total";
const IN_OUTAGE: &str = "everbearer_in_outage";
const WAITING: &str = "everbearer_waiting_callers";
const DENIALS: &str = "everbearer_denials_total";
const RESENDS: &str = "everbearer_resends_total";
const LONG_TERM_EXPIRY: &str = "everbearer_long_term_token_expiry_timestamp_seconds";
const ROTATIONS: &str = "everbearer_rotations_total";
const REVOCATIONS: &str = "everbearer_revocations_total";
const STORE_FAILURES: &str = "everbearer_store_failures_total";

const OUTCOME: &str = "outcome";
const SUCCESS: &str = "success";
/// In the place of the scopes of a set beyond those that have a label of their own.
const OTHER: &str = "other";

/// Tells the recorder of the process, which may also be none.
#[derive(Debug)]
pub(crate) struct Metrics {
    provider: Arc<str>,
    /// So many sets of scopes have a label of their own: what a recorder has seen once, it keeps.
    most: usize,
    /// Sorted by the scopes.
    known: Mutex<Vec<Known>>,
}

/// A set of scopes that has a label of its own.
#[derive(Debug)]
struct Known {
    scopes: Arc<[String]>,
    label: SharedString,
}

/// A caller that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Option<Gauge>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(gauge) = self.0.take() {
            caught(move || gauge.decrement(1.0));
        }
    }
}

impl Metrics {
    /// Whether anything is measured at all.
    pub(crate) const ON: bool = true;

    /// The metrics of the provider of this name, which may have so many sets of scopes beside its
    /// own.
    pub(crate) fn new(provider: &Arc<str>, most: usize) -> Self {
        caught(describe);
        Self {
            provider: Arc::clone(provider),
            most: most.saturating_add(1),
            // Most providers have only their own scope set.
            known: Mutex::new(Vec::with_capacity(1)),
        }
    }

    /// The metrics of one of many providers, which are counted together: all scope sets share the
    /// label `other`. Of the gauges, only that of the waiting callers is reported, since the others
    /// would overwrite each other.
    pub(crate) fn without_gauges(provider: &Arc<str>) -> Self {
        Self {
            most: 0,
            known: Mutex::default(),
            ..Self::new(provider, 0)
        }
    }

    pub(super) fn note(&self, event: &Event) {
        caught(|| self.count(event));
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Swapped { scopes, .. } | Event::Unchanged { scopes, .. } => {
                counter!(EXCHANGES, self.ended(scopes, None)).increment(1);
            }
            Event::ExchangeFailed { scopes, error, .. } => {
                counter!(EXCHANGES, self.ended(scopes, Some(error))).increment(1);
            }
            Event::OutageBegan { scopes, .. } => {
                counter!(OUTAGES, self.of(scopes)).increment(1);
                self.set_outage(scopes, true);
            }
            Event::OutageEnded { scopes, .. } => self.set_outage(scopes, false),
            Event::Denied { scopes, .. } => {
                counter!(DENIALS, self.of(scopes)).increment(1);
            }
            Event::ScopesRetired { scopes } => self.retire(scopes),
            Event::Rotated { .. } => {
                counter!(ROTATIONS, self.with_outcome(None)).increment(1);
            }
            Event::RotationFailed { error, .. } => {
                counter!(ROTATIONS, self.with_outcome(Some(error))).increment(1);
            }
            Event::Revocation { error, .. } => {
                counter!(REVOCATIONS, self.with_outcome(error.as_ref())).increment(1);
            }
            Event::RevocationsUnfinished { tokens } => {
                let mut labels = self.of_provider();
                labels.push(Label::from_static_parts(
                    OUTCOME,
                    ErrorKind::Timeout.as_str(),
                ));
                let tokens = u64::try_from(*tokens).unwrap_or(u64::MAX);
                counter!(REVOCATIONS, labels).increment(tokens);
            }
            Event::StoreFailed { .. } => {
                counter!(STORE_FAILURES, self.of_provider()).increment(1);
            }
            Event::ExchangeBegan { .. }
            | Event::OutageContinues { .. }
            | Event::LongTermObtained { .. }
            | Event::LongTermReplaced { .. }
            | Event::LongTermReloaded { .. }
            | Event::RotationBegan
            | Event::ShutdownBegan { .. }
            | Event::ShutDown => {}
        }
    }

    /// Notes how long an exchange took, whatever came of it.
    pub(crate) fn exchange_took(&self, scopes: &Arc<[String]>, took: Duration) {
        caught(|| histogram!(EXCHANGE_DURATION, self.of(scopes)).record(took.as_secs_f64()));
    }

    /// Notes that a request was sent again with a newer token.
    pub(crate) fn resent(&self, scopes: &Arc<[String]>) {
        caught(|| counter!(RESENDS, self.of(scopes)).increment(1));
    }

    pub(crate) fn waiting(&self, scopes: &Arc<[String]>) -> Waiting {
        Waiting(caught(|| {
            let gauge = gauge!(WAITING, self.of(scopes));
            gauge.increment(1.0);
            gauge
        }))
    }

    /// Says how a set of scopes is. What has not happened yet is told as 0, so that its first time
    /// can be seen as a change.
    pub(crate) fn read(&self, scopes: &Arc<[String]>, status: &Status, wall: SystemTime) {
        caught(|| self.measure(scopes, status, wall));
    }

    fn measure(&self, scopes: &Arc<[String]>, status: &Status, wall: SystemTime) {
        let (of_provider, of_set) = (self.of_provider(), self.of(scopes));
        let successes = |labels: &[Label]| {
            let mut labels = labels.to_vec();
            labels.push(outcome(None));
            labels
        };
        counter!(EXCHANGES, successes(&of_set)).increment(0);
        counter!(ROTATIONS, successes(&of_provider)).increment(0);
        counter!(REVOCATIONS, successes(&of_provider)).increment(0);
        counter!(OUTAGES, of_set.clone()).increment(0);
        counter!(DENIALS, of_set.clone()).increment(0);
        counter!(RESENDS, of_set.clone()).increment(0);
        counter!(STORE_FAILURES, of_provider.clone()).increment(0);

        let long_term = status.long_term.as_ref().and_then(|it| it.expires_at);
        let long_term = long_term.map_or(f64::NAN, timestamp);
        if self.most > 0 {
            gauge!(LONG_TERM_EXPIRY, of_provider).set(long_term);
        }
        if self.label(scopes).is_none() {
            return; // sets that share a label would overwrite each other
        }
        gauge!(WAITING, of_set.clone()).increment(0.0);
        let in_outage = gauge!(IN_OUTAGE, of_set.clone());
        match status.state {
            State::ShuttingDown | State::ShutDown => in_outage.set(0.0),
            _ => in_outage.increment(0.0),
        }
        let expires_at = status.expires_at.map_or(0.0, timestamp);
        let expires_in = status.expires_at.map(|at| at.duration_since(wall));
        let expires_in = expires_in.and_then(Result::ok).unwrap_or_default();
        gauge!(EXPIRY, of_set.clone()).set(expires_at);
        gauge!(EXPIRES_IN, of_set.clone()).set(expires_in.as_secs_f64());
        gauge!(FAILURES, of_set.clone()).set(f64::from(status.consecutive_failures));
        gauge!(BACKOFF, of_set.clone()).set(backoff(status));
        #[allow(
            clippy::cast_precision_loss,
            reason = "it would take 2^53 exchanges to make a difference"
        )]
        gauge!(GENERATION, of_set).set(status.generation as f64);
    }

    fn set_outage(&self, scopes: &Arc<[String]>, is_out: bool) {
        if self.label(scopes).is_some() {
            gauge!(IN_OUTAGE, self.of(scopes)).set(f64::from(u8::from(is_out)));
        }
    }

    /// A recorder forgets nothing, so the gauges of the set say that there is nothing to say.
    fn retire(&self, scopes: &Arc<[String]>) {
        if self.label(scopes).is_some() {
            for name in [EXPIRY, EXPIRES_IN, GENERATION, FAILURES, BACKOFF] {
                gauge!(name, self.of(scopes)).set(f64::NAN);
            }
        }
        self.set_outage(scopes, false);
    }

    fn of_provider(&self) -> Vec<Label> {
        let provider = SharedString::from_shared(Arc::clone(&self.provider));
        vec![Label::new("provider", provider)]
    }

    fn of(&self, scopes: &Arc<[String]>) -> Vec<Label> {
        let scopes = self.label(scopes);
        let scopes = scopes.unwrap_or(SharedString::const_str(OTHER));
        let mut labels = self.of_provider();
        labels.push(Label::new("scopes", scopes));
        labels
    }

    fn ended(&self, scopes: &Arc<[String]>, error: Option<&Error>) -> Vec<Label> {
        let mut labels = self.of(scopes);
        labels.push(outcome(error));
        labels
    }

    fn with_outcome(&self, error: Option<&Error>) -> Vec<Label> {
        let mut labels = self.of_provider();
        labels.push(outcome(error));
        labels
    }

    /// The label of its own that this set has, if it is among the first ones, as many as the policy
    /// allows at the same time.
    fn label(&self, scopes: &Arc<[String]>) -> Option<SharedString> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.binary_search_by(|known| known.scopes.cmp(scopes)) {
            Ok(place) => known.get(place).map(|known| known.label.clone()),
            Err(_) if known.len() >= self.most => None,
            Err(place) => {
                let label = SharedString::from_shared(scopes.join(" ").into());
                let scopes = Arc::clone(scopes);
                known.insert(
                    place,
                    Known {
                        scopes,
                        label: label.clone(),
                    },
                );
                Some(label)
            }
        }
    }
}

fn outcome(error: Option<&Error>) -> Label {
    Label::from_static_parts(
        OUTCOME,
        error.map_or(SUCCESS, |error| error.kind().as_str()),
    )
}

fn timestamp(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn backoff(status: &Status) -> f64 {
    if status.consecutive_failures == 0 {
        return 0.0;
    }
    match status.next_exchange_in {
        Some(pause) => pause.as_secs_f64(),
        None if status.state == State::Refused => f64::INFINITY,
        None => 0.0, // it is in flight
    }
}

/// Tells the recorder what each is about. The texts are the guide's.
fn describe() {
    let count = Unit::Count;
    describe_counter!(EXCHANGES, count, "Exchanges that have ended");
    describe_histogram!(
        EXCHANGE_DURATION,
        Unit::Seconds,
        "Duration of an exchange, successful or not"
    );
    describe_gauge!(
        EXPIRY,
        Unit::Seconds,
        "Expiry of the token in use, in Unix time; 0 without one"
    );
    describe_gauge!(
        EXPIRES_IN,
        Unit::Seconds,
        "Remaining lifetime of the token in use; 0 without one"
    );
    describe_gauge!(
        GENERATION,
        count,
        "Number of the token in use among all tokens of the provider; 0 if the set had none yet"
    );
    describe_gauge!(FAILURES, count, "Exchanges that have failed in a row");
    describe_gauge!(
        BACKOFF,
        Unit::Seconds,
        "Pause before the next attempt after a failure; 0 without a failure"
    );
    describe_counter!(OUTAGES, count, "Outages that have begun");
    describe_gauge!(
        IN_OUTAGE,
        count,
        "1 while an exchange has failed and there is no valid token, else 0"
    );
    describe_gauge!(WAITING, count, "Callers that wait for a token");
    describe_counter!(DENIALS, count, "Tokens that a resource server refused");
    describe_counter!(
        RESENDS,
        count,
        "Requests that the middleware or an adapter resent with a newer token after a refusal"
    );
    describe_gauge!(
        LONG_TERM_EXPIRY,
        Unit::Seconds,
        "Expiry of the long-term token, in Unix time; NaN if it is not known"
    );
    describe_counter!(ROTATIONS, count, "Rotations that have ended");
    describe_counter!(REVOCATIONS, count, "Revocations that have ended");
    describe_counter!(
        STORE_FAILURES,
        count,
        "Failures to read or write the token store"
    );
}
