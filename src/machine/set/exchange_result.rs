//! A token that an exchange returned, and how it was accepted.

use std::time::Duration;

use crate::clock::Moment;
use crate::machine::input::Window;
use crate::policy::LONGEST;

/// A token that an exchange returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brought {
    /// When the request was sent.
    pub(crate) sent: Moment,
    /// How long the token lives, counted from `sent`.
    pub(crate) life: Duration,
    /// How long after its arrival the token is held back while the token in use is good: resource servers
    /// may not accept it yet.
    pub(crate) settling: Duration,
    /// Whether the exchange returned the token in use again.
    pub(crate) is_repeated: bool,
    /// An upper bound of the life, also if the server returns the same token again.
    pub(crate) at_most: Option<Duration>,
}

/// How a token was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// The token replaces the one in use now.
    Now(Window),
    /// The token replaces the one in use when the machine asks to publish it.
    Later(Window),
    /// The token is the one in use, which now has this window.
    Again(Window),
    /// Too little of its life is left: the exchange has failed.
    Expired,
}

/// A token that replaces the one in use later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) struct Upcoming {
    pub(super) window: Window,
    pub(super) life: Duration,
    pub(super) latest_end: Option<Moment>,
    pub(super) publish_at: Moment,
}

impl Brought {
    /// Returns the latest possible end: `at_most` after the request.
    pub(super) fn latest_end(&self) -> Option<Moment> {
        Some(self.sent + self.at_most?.min(LONGEST))
    }
}
