//! Stands in for `seal.rs` without the feature `sealed`: there is no key, so nothing is sealed.

use zeroize::Zeroizing;

use crate::error::Error;

#[derive(Clone, Debug)]
pub(super) enum SealingKey {}

pub(super) fn seal(key: &SealingKey, _plain: &str) -> Result<String, Error> {
    match *key {}
}

pub(super) fn open(key: &SealingKey, _line: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    match *key {}
}
