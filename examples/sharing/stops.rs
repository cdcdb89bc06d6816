//! Stops a daemon at random moments, and continues it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use everbearer::testkit::AuthServer;
use everbearer::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

use super::Result;
use super::daemon::EXCHANGE_TIMEOUT;

/// How long a daemon stays stopped at most: longer than it may hold the lease, and than its short-term token lives.
const LONGEST: Duration = Duration::from_millis(4_500);
/// For how long a daemon holds the lease at most, unless it is stopped.
const LONGEST_HOLD: Duration = EXCHANGE_TIMEOUT.saturating_mul(3);
/// A daemon holds the lease for this time at least.
const SHORTEST_ROTATION: Duration = Duration::from_millis(5);
/// How long the requests take that were held up by a stop.
const TO_SETTLE: Duration = Duration::from_millis(700);
/// How long the lease is locked without a break if its holder is stopped. A rotation is shorter.
const STUCK: Duration = Duration::from_millis(400);

/// Stops the daemons, one at a time, and counts what that causes.
pub(crate) struct Stops {
    random: fastrand::Rng,
    lease: PathBuf,
    daemons: Vec<Pid>,
    pub(crate) number: u64,
    /// How many of them hit the holder of the lease, and how many of these lasted longer than the hold.
    pub(crate) of_holder: u64,
    pub(crate) beyond_hold: u64,
    /// The requests that the server refused during a stop or right after it.
    pub(crate) refused: u64,
    /// All that were refused up to now.
    refused_so_far: u64,
    /// The requests that the server refused when no daemon was stopped.
    pub(crate) refused_otherwise: u64,
}

impl Stops {
    pub(crate) fn new(seed: u64, file: &Path, daemons: Vec<Pid>) -> Self {
        let mut lease = file.as_os_str().to_owned();
        lease.push(".lease");
        Self {
            random: fastrand::Rng::with_seed(seed),
            lease: lease.into(),
            daemons,
            number: 0,
            of_holder: 0,
            beyond_hold: 0,
            refused: 0,
            refused_so_far: 0,
            refused_otherwise: 0,
        }
    }

    /// Waits for a while, then stops a daemon for a while. Three of four stops begin right after a daemon has taken the
    /// lease; it is as likely to be the other daemon.
    pub(crate) async fn next(&mut self, server: &AuthServer) -> Result<()> {
        sleep(self.up_to(Duration::from_secs(1))).await;
        if self.random.u8(..4) > 0 {
            self.until_the_lease_is_taken().await;
            sleep(self.up_to(SHORTEST_ROTATION)).await;
        }
        let Some(daemon) = self.random.choice(&self.daemons).copied() else {
            return Ok(());
        };
        self.refused_otherwise += self.newly_refused(server);
        let clock = SystemClock::default();
        let began = clock.now();
        kill_process(daemon, Signal::STOP)?;
        let is_holder = self.is_stuck().await;
        let is_long = is_holder || self.random.bool();
        let lasts = self.up_to(if is_long { LONGEST } else { EXCHANGE_TIMEOUT });
        sleep(lasts.saturating_sub(clock.now().since(began))).await;
        kill_process(daemon, Signal::CONT)?;
        self.number += 1;
        self.of_holder += u64::from(is_holder);
        self.beyond_hold += u64::from(is_holder && clock.now().since(began) > LONGEST_HOLD);
        sleep(TO_SETTLE).await;
        self.refused += self.newly_refused(server);
        Ok(())
    }

    /// Notes the requests that were refused since the last stop.
    pub(crate) fn end(&mut self, server: &AuthServer) {
        self.refused_otherwise += self.newly_refused(server);
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.f64())
    }

    /// Waits until the number in the file of the lease changes, but not for long.
    async fn until_the_lease_is_taken(&self) {
        let number = || fs::read_to_string(&self.lease).ok();
        let before = number();
        let taken = async {
            while number() == before {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(Duration::from_secs(3), taken).await;
    }

    /// Returns whether a stopped process holds the lease. A running one releases it meanwhile.
    async fn is_stuck(&self) -> bool {
        // Closing the file unlocks it.
        let is_locked = || File::open(&self.lease).is_ok_and(|file| file.try_lock().is_err());
        let released = async {
            while is_locked() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(STUCK, released).await.is_err()
    }

    fn newly_refused(&mut self, server: &AuthServer) -> u64 {
        let jobs = server.counts().jobs_outcomes;
        let refused = jobs.without_token + jobs.expired + jobs.revoked + jobs.invalid;
        refused - std::mem::replace(&mut self.refused_so_far, refused)
    }
}
