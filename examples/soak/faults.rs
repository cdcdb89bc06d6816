//! The faults of exchanges: one exchange in three fails.

use std::time::Duration;

use everbearer::testkit::{AuthServer, Endpoint, Fault};

/// More than a provider can use before the next call of `keep_coming`.
const AHEAD: usize = 500;

pub(crate) struct Faults {
    random: fastrand::Rng,
    /// For each exchange in turn, whether it gets a fault.
    drawn: Vec<bool>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            drawn: Vec::new(),
        }
    }

    pub(crate) fn keep_coming(&mut self, server: &AuthServer) {
        let wanted = requests(server) + AHEAD;
        while self.drawn.len() < wanted {
            let goes_wrong = self.random.u8(..3) == 0;
            self.drawn.push(goes_wrong);
            let fault = if goes_wrong { self.any() } else { Fault::Pass };
            server.script(Endpoint::ShortTerm, [fault]);
        }
    }

    pub(crate) fn met(&self, server: &AuthServer) -> usize {
        let so_far = self.drawn.iter().take(requests(server));
        so_far.filter(|goes_wrong| **goes_wrong).count()
    }

    fn any(&mut self) -> Fault {
        match self.random.u8(..10) {
            0 => Fault::status(500),
            1 => Fault::error(503, "unavailable"),
            2 => Fault::rate_limited("1"),
            3 => Fault::CloseEarly,
            4 => Fault::LoseResponse,
            5 => Fault::Hang,
            6 => Fault::Garbage,
            7 => Fault::Html(if self.random.bool() { 200 } else { 502 }),
            8 => Fault::Expired,
            _ => Fault::Latency(Duration::from_millis(self.random.u64(50..400))),
        }
    }
}

fn requests(server: &AuthServer) -> usize {
    usize::try_from(server.counts().short_term.requests).unwrap_or(usize::MAX)
}
