//! User code that panics in about one call in a hundred: a tracing subscriber, a metrics recorder, the issuer and
//! the clock. The subscriber logs with `println!`, which panics when the pipe behind standard output is closed.

use std::any::Any;
use std::fmt::Write as _;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use everbearer::{Clock, Moment, SystemClock};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Recorder,
    SharedString, Unit,
};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};

use crate::Result;

/// About a hundred, and prime, so that a regular pattern of calls cannot avoid the panics.
pub(crate) const ONE_CALL_OF: u64 = 101;
/// One event of this many is logged, so that the figures stay readable.
const EVENTS_PER_LINE: u64 = 100;

/// User code that panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragile {
    Subscriber,
    Recorder,
    Issuer,
    Clock,
}

/// The number of panics, by the code that panicked.
#[derive(Default)]
pub(crate) struct Panics {
    subscriber: AtomicU64,
    recorder: AtomicU64,
    issuer: AtomicU64,
    clock: AtomicU64,
    broken_pipe: AtomicU64,
    unexpected: AtomicU64,
    first_unexpected: OnceLock<String>,
}

impl Fragile {
    /// Panics in every [`ONE_CALL_OF`]th call of its kind.
    pub(crate) fn call(self) {
        static CALLS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
        let [subscriber, recorder, issuer, clock] = &CALLS;
        let calls = match self {
            Self::Subscriber => subscriber,
            Self::Recorder => recorder,
            Self::Issuer => issuer,
            Self::Clock => clock,
        };
        let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call.is_multiple_of(ONE_CALL_OF) {
            panic::panic_any(self);
        }
    }
}

impl Panics {
    /// Installs the subscriber, the recorder and a panic hook that counts panics instead of printing them.
    pub(crate) fn install() -> Result<Arc<Self>> {
        let panics = Arc::<Self>::default();
        let counted = Arc::clone(&panics);
        panic::set_hook(Box::new(move |info| {
            counted.count(info.payload(), &info.to_string());
        }));
        tracing::subscriber::set_global_default(Log::default())?;
        metrics::set_global_recorder(Measurements).map_err(|error| error.to_string())?;
        Ok(panics)
    }

    fn count(&self, payload: &(dyn Any + Send), text: &str) {
        let count = match payload.downcast_ref() {
            Some(Fragile::Subscriber) => &self.subscriber,
            Some(Fragile::Recorder) => &self.recorder,
            Some(Fragile::Issuer) => &self.issuer,
            Some(Fragile::Clock) => &self.clock,
            None if text.contains("failed printing to stdout") => &self.broken_pipe,
            None => {
                self.first_unexpected.get_or_init(|| text.to_owned());
                &self.unexpected
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the panics of the subscriber, the recorder, the issuer, the clock and the log's `println!`.
    pub(crate) fn survived(&self) -> [u64; 5] {
        [
            &self.subscriber,
            &self.recorder,
            &self.issuer,
            &self.clock,
            &self.broken_pipe,
        ]
        .map(|count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn unexpected(&self) -> (u64, Option<&String>) {
        let count = self.unexpected.load(Ordering::Relaxed);
        (count, self.first_unexpected.get())
    }
}

/// Writes one event of a hundred to standard output with `println!`.
#[derive(Default)]
struct Log {
    events: AtomicU64,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}{}", self.0);
        } else {
            let _ = write!(self.0, " {field}={value:?}");
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "everbearer"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        Fragile::Subscriber.call();
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {
        Fragile::Subscriber.call();
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {
        Fragile::Subscriber.call();
    }

    fn event(&self, event: &Event<'_>) {
        Fragile::Subscriber.call();
        let count = self.events.fetch_add(1, Ordering::Relaxed);
        if count.is_multiple_of(EVENTS_PER_LINE) {
            let mut line = Line(String::new());
            event.record(&mut line);
            println!("        {} {}", event.metadata().level(), line.0);
        }
    }

    fn enter(&self, _: &span::Id) {
        Fragile::Subscriber.call();
    }

    fn exit(&self, _: &span::Id) {
        Fragile::Subscriber.call();
    }

    fn try_close(&self, _: span::Id) -> bool {
        Fragile::Subscriber.call();
        true
    }
}

struct Measurements;

impl Recorder for Measurements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        Fragile::Recorder.call();
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        Fragile::Recorder.call();
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        Fragile::Recorder.call();
    }

    fn register_counter(&self, _: &Key, _: &metrics::Metadata<'_>) -> Counter {
        Fragile::Recorder.call();
        Counter::from_arc(Arc::new(Self))
    }

    fn register_gauge(&self, _: &Key, _: &metrics::Metadata<'_>) -> Gauge {
        Fragile::Recorder.call();
        Gauge::from_arc(Arc::new(Self))
    }

    fn register_histogram(&self, _: &Key, _: &metrics::Metadata<'_>) -> Histogram {
        Fragile::Recorder.call();
        Histogram::from_arc(Arc::new(Self))
    }
}

impl CounterFn for Measurements {
    fn increment(&self, _: u64) {
        Fragile::Recorder.call();
    }

    fn absolute(&self, _: u64) {
        Fragile::Recorder.call();
    }
}

impl GaugeFn for Measurements {
    fn increment(&self, _: f64) {
        Fragile::Recorder.call();
    }

    fn decrement(&self, _: f64) {
        Fragile::Recorder.call();
    }

    fn set(&self, _: f64) {
        Fragile::Recorder.call();
    }
}

impl HistogramFn for Measurements {
    fn record(&self, _: f64) {
        Fragile::Recorder.call();
    }
}

/// The system clock, with panics.
#[derive(Debug)]
pub(crate) struct FragileClock;

impl Clock for FragileClock {
    fn now(&self) -> Moment {
        Fragile::Clock.call();
        SystemClock::default().now()
    }

    fn coarse_now(&self) -> Moment {
        Fragile::Clock.call();
        SystemClock::default().coarse_now()
    }

    fn wall(&self) -> SystemTime {
        Fragile::Clock.call();
        SystemClock::default().wall()
    }
}
