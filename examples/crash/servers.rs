//! The behaviours of the server under which the processes are killed.

use std::time::Duration;

use everbearer::testkit::{AuthServer, Endpoint, Fault, OldLongTermToken};

use super::Result;

/// The lifetime of short-term tokens: longer than a process needs to start, and short enough that superseded long-term
/// tokens are revoked during the run.
pub(crate) const SHORT_TERM_LIFE: Duration = Duration::from_secs(2);
/// More requests than a process makes in its life.
const FAULTS: usize = 500;

/// How the server behaves.
pub(crate) struct Behaviour {
    /// The name for `--server`.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    old: OldLongTermToken,
    cascades: bool,
    pub(crate) repeats: bool,
    pub(crate) faults: Faults,
}

/// Which requests the server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    None,
    /// The response is lost of one request in three to the endpoints for tokens.
    LostResponses,
    /// A gateway answers one exchange in eight, and one request in eight for a long-term token, with a 401 without a
    /// code.
    Gateway,
}

/// The common case; the other behaviours name what differs.
const USUAL: Behaviour = Behaviour {
    name: "usual",
    title: "the old token stays valid",
    old: OldLongTermToken::LivesOn,
    cascades: false,
    repeats: false,
    faults: Faults::None,
};

pub(crate) static ALL: [Behaviour; 7] = [
    USUAL,
    Behaviour {
        name: "invalidating",
        title: "the old token is invalidated at once",
        old: OldLongTermToken::DiesAtOnce,
        ..USUAL
    },
    Behaviour {
        name: "invalidating-lossy",
        title: "the old token is invalidated at once, and every third response is lost",
        old: OldLongTermToken::DiesAtOnce,
        faults: Faults::LostResponses,
        ..USUAL
    },
    Behaviour {
        name: "cascading",
        title: "the revocation of the old token ends what was minted from it",
        cascades: true,
        ..USUAL
    },
    Behaviour {
        name: "cascading-lossy",
        title: "the revocation of the old token ends what was minted from it, and every third response is lost",
        cascades: true,
        faults: Faults::LostResponses,
        ..USUAL
    },
    Behaviour {
        name: "gateway",
        title: "the old token is invalidated at once, and a gateway answers one request in eight with a 401",
        old: OldLongTermToken::DiesAtOnce,
        faults: Faults::Gateway,
        ..USUAL
    },
    Behaviour {
        name: "repeating",
        title: "an exchange returns the same short-term token again, and a revocation ends what was minted",
        cascades: true,
        repeats: true,
        ..USUAL
    },
];

impl Behaviour {
    pub(crate) async fn start(&self) -> Result<AuthServer> {
        let server = AuthServer::builder()
            .rotation(self.old)
            .cascade_revocations(self.cascades)
            .repeat_short_term_tokens(self.repeats)
            .short_term_lifetime(SHORT_TERM_LIFE)
            .fractional_timestamps(true);
        Ok(server.start().await?)
    }

    /// Draws the faults of the next process.
    pub(crate) fn script(&self, server: &AuthServer, random: &mut fastrand::Rng) {
        server.clear_faults();
        let (endpoints, fault, one_of): (&[_], _, _) = match self.faults {
            Faults::None => return,
            Faults::LostResponses => (
                &[Endpoint::LongTerm, Endpoint::ShortTerm, Endpoint::Revoke],
                Fault::LoseResponse,
                3,
            ),
            Faults::Gateway => (
                &[Endpoint::LongTerm, Endpoint::ShortTerm],
                Fault::status(401),
                8,
            ),
        };
        for endpoint in endpoints {
            let faults = (0..FAULTS).map(|_| match random.u8(..one_of) {
                0 => fault.clone(),
                _ => Fault::Pass,
            });
            server.script(*endpoint, faults);
        }
    }
}
