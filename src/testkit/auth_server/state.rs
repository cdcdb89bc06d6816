//! What the handle and the request handlers share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::{ServerClock, UnixTime};
use super::faults::Script;
use super::ledger::Ledger;
use super::options::TokenIds;
use super::random::Unguessable;

pub(super) struct ServerState {
    pub(super) address: Address,
    pub(super) default_client: Credentials,
    pub(super) clock: ServerClock,
    pub(super) token_ids: TokenIds,
    ledger: Mutex<Ledger>,
    script: Mutex<Script>,
}

/// Where the server is to be found.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    pub(super) base_url: String,
}

/// Has no `Debug`, for it holds a secret.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: String,
}

impl ServerState {
    pub(super) fn new(
        address: Address,
        default_client: Credentials,
        clock: ServerClock,
        token_ids: TokenIds,
        ledger: Ledger,
    ) -> Self {
        Self {
            address,
            default_client,
            clock,
            token_ids,
            ledger: Mutex::new(ledger),
            script: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Address {
    pub(super) fn of(socket: SocketAddr) -> Self {
        let mut reachable = socket;
        if socket.ip().is_unspecified() {
            reachable.set_ip(loopback_like(socket.ip()));
        }
        Self {
            socket,
            base_url: format!("http://{reachable}/v1"),
        }
    }

    /// `path` begins with a slash.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

impl Credentials {
    pub(super) fn random(random: &mut Unguessable) -> Self {
        Self {
            id: format!("client_{}", random.hex(12)),
            secret: format!("cs_{}", random.hex(48)),
        }
    }
}

fn loopback_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}
