//! The JSON of a record. Private to the store, since it serializes secrets.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::record::{Dated, Record, Retiring, Rotation};
use crate::error::Error;
use crate::token::{LongTermToken, ShortTermToken, TokenBuilder};

/// The format that this version of the crate writes.
pub(super) const FORMAT: u32 = 1;

/// A whole record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    format: u32,
    current: WireToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asking_with: Option<WireToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<WireToken>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retiring: Vec<WireToken>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireToken {
    token: Zeroizing<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    obtained_at: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoke_at: Option<jiff::Timestamp>,
}

impl Wire {
    /// Returns an upper bound of the length in bytes.
    pub(super) fn longest(&self) -> usize {
        let tokens = [
            Some(&self.current),
            self.asking_with.as_ref(),
            self.next.as_ref(),
        ];
        let tokens = tokens.into_iter().flatten().chain(&self.retiring);
        64 + tokens.map(WireToken::longest).sum::<usize>()
    }
}

impl WireToken {
    /// Counts six bytes for each character, which is the most that JSON needs, and an upper bound for the rest.
    fn longest(&self) -> usize {
        let scopes: usize = self.scopes.iter().map(|scope| 6 * scope.len() + 16).sum();
        let id = self.token_id.as_ref().map_or(0, String::len);
        512 + 6 * (self.token.len() + id) + scopes
    }

    fn long_term(&self) -> Result<Dated, Error> {
        let token = self.fill(LongTermToken::builder(&self.token)).build()?;
        let ends_at = self.ends_at.and_then(system_time);
        Ok(Dated {
            obtained_at: self.obtained_at.and_then(system_time),
            ends_at: ends_at.or_else(|| token.expires_at()),
            token,
        })
    }

    fn fill<T>(&self, builder: TokenBuilder<T>) -> TokenBuilder<T> {
        let mut builder = builder.scopes(&self.scopes);
        if let Some(id) = &self.token_id {
            builder = builder.token_id(id);
        }
        if let Some(end) = self.ends_at.and_then(system_time) {
            builder = builder.expires_at(end);
        }
        builder
    }
}

impl From<&Record> for Wire {
    fn from(record: &Record) -> Self {
        Self {
            format: FORMAT,
            current: WireToken::from(&record.current),
            asking_with: record.rotation.asking_with().map(WireToken::from),
            next: record.next().map(WireToken::from),
            retiring: record.retiring.iter().map(WireToken::from).collect(),
        }
    }
}

impl From<&Dated> for WireToken {
    fn from(dated: &Dated) -> Self {
        Self {
            obtained_at: dated.obtained_at.and_then(timestamp),
            ends_at: dated.ends_at.and_then(timestamp),
            ..Self::from(&dated.token)
        }
    }
}

impl From<&Retiring> for WireToken {
    fn from(retiring: &Retiring) -> Self {
        Self {
            revoke_at: timestamp(retiring.revoke_at),
            ..Self::from(&retiring.token)
        }
    }
}

impl From<&LongTermToken> for WireToken {
    fn from(token: &LongTermToken) -> Self {
        Self {
            token: Zeroizing::new(token.expose().to_owned()),
            token_id: token.token_id().map(str::to_owned),
            scopes: token.scopes().to_vec(),
            obtained_at: None,
            ends_at: token.expires_at().and_then(timestamp),
            revoke_at: None,
        }
    }
}

impl From<&ShortTermToken> for WireToken {
    fn from(token: &ShortTermToken) -> Self {
        Self {
            token: Zeroizing::new(token.expose().to_owned()),
            token_id: token.token_id().map(str::to_owned),
            scopes: token.scopes().to_vec(),
            obtained_at: None,
            ends_at: token.expires_at().and_then(timestamp),
            revoke_at: None,
        }
    }
}

impl TryFrom<Wire> for Record {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self, Error> {
        let asking_with = wire
            .asking_with
            .as_ref()
            .map(|token| token.fill(ShortTermToken::builder(&token.token)).build())
            .transpose()?;
        let next = wire.next.as_ref().map(WireToken::long_term).transpose()?;
        let rotation = match (next, asking_with) {
            (Some(next), with) => Rotation::Proving { next, with },
            (None, Some(with)) => Rotation::Asking { with },
            (None, None) => Rotation::Settled,
        };
        let retiring = wire.retiring.iter().map(|token| {
            let revoke_at = token.revoke_at.and_then(system_time);
            Ok(Retiring {
                token: token.long_term()?.token,
                revoke_at: revoke_at.unwrap_or(SystemTime::UNIX_EPOCH),
            })
        });
        Ok(Self {
            current: wire.current.long_term()?,
            rotation,
            retiring: retiring.collect::<Result<_, Error>>()?,
            is_bare: false,
        })
    }
}

fn timestamp(time: SystemTime) -> Option<jiff::Timestamp> {
    jiff::Timestamp::try_from(time).ok()
}

fn system_time(timestamp: jiff::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(timestamp).ok()
}
