//! The faults of the auth server: one exchange in three fails, and one request in eight for a long-term token.

use std::time::Duration;

use everbearer::testkit::{AuthServer, Endpoint, Fault};

/// More than a provider can use before the next call of `keep_coming`.
const AHEAD: usize = 500;

pub(crate) struct Faults {
    random: fastrand::Rng,
    /// For each exchange in turn, whether it gets a fault.
    of_exchanges: Vec<bool>,
    /// The same for each request for a long-term token.
    of_long_term: Vec<bool>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            of_exchanges: Vec::new(),
            of_long_term: Vec::new(),
        }
    }

    pub(crate) fn keep_coming(&mut self, server: &AuthServer) {
        let (exchanges, long_term) = requests(server);
        while self.of_exchanges.len() < exchanges + AHEAD {
            let goes_wrong = self.random.u8(..3) == 0;
            self.of_exchanges.push(goes_wrong);
            let fault = if goes_wrong { self.any() } else { Fault::Pass };
            server.script(Endpoint::ShortTerm, [fault]);
        }
        while self.of_long_term.len() < long_term + AHEAD {
            let goes_wrong = self.random.u8(..8) == 0;
            self.of_long_term.push(goes_wrong);
            let fault = if goes_wrong { gateway() } else { Fault::Pass };
            server.script(Endpoint::LongTerm, [fault]);
        }
    }

    /// Returns how many exchanges, and how many requests for a long-term token, have got a fault.
    pub(crate) fn met(&self, server: &AuthServer) -> (usize, usize) {
        let count = |drawn: &[bool], so_far| drawn.iter().take(so_far).filter(|it| **it).count();
        let (exchanges, long_term) = requests(server);
        (
            count(&self.of_exchanges, exchanges),
            count(&self.of_long_term, long_term),
        )
    }

    fn any(&mut self) -> Fault {
        match self.random.u8(..11) {
            0 => Fault::status(500),
            1 => Fault::error(503, "unavailable"),
            2 => Fault::rate_limited("1"),
            3 => Fault::CloseEarly,
            4 => Fault::LoseResponse,
            5 => Fault::Hang,
            6 => Fault::Garbage,
            7 => Fault::Html(if self.random.bool() { 200 } else { 502 }),
            8 => Fault::Expired,
            9 => gateway(),
            _ => Fault::Latency(Duration::from_millis(self.random.u64(50..400))),
        }
    }
}

/// The 401 of a gateway: without a code.
fn gateway() -> Fault {
    Fault::status(401)
}

/// Returns how many exchanges, and how many requests for a long-term token, there have been.
fn requests(server: &AuthServer) -> (usize, usize) {
    let counts = server.counts();
    let number = |requests| usize::try_from(requests).unwrap_or(usize::MAX);
    (
        number(counts.short_term.requests),
        number(counts.long_term.requests),
    )
}
