//! What can be done with the file: all that blocks.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::failure::refused;
use super::read::{MOST, Readers, read};
use super::seal::{SealingKey, open, seal};
use super::seen::{Content, Seen, version};
use super::target::Target;
use super::{lock, write};
use crate::error::Error;
use crate::secret::Secret;
use crate::store::{Lease, Record, Stored, Version};

/// How each sealed file begins, whatever its format.
pub(super) const SEALED: &str = "everbearer-sealed-";

/// Where the file is, and how it is read and written.
#[derive(Clone, Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    pub(super) group_may_read: bool,
    pub(super) key: Option<SealingKey>,
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path: std::path::absolute(&path).unwrap_or(path),
            group_may_read: false,
            key: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self, seen: &Seen) -> Result<Option<Stored>, Error> {
        let _turn = seen.turn();
        let content = self.content();
        seen.set(Content::from(&content));
        let Some(content) = content? else {
            return Ok(None);
        };
        let record = self
            .decode(&content)
            .map_err(|error| error.at(self.path.display()))?;
        Ok(Some(Stored::new(record, version(&content))))
    }

    pub(super) fn replace(
        &self,
        text: &Secret,
        expected: Option<&Version>,
        seen: &Seen,
    ) -> Result<Version, Error> {
        let content = self.encode(text)?;
        if content.len() > MOST {
            return Err(refused(&self.path, "the record has grown beyond 256 KiB"));
        }
        let target = Target::of(&self.path)?;
        let _lock = lock::wait_for(&target)?;
        let _turn = seen.turn();
        // While it is locked, whoever began a temporary file that is there is dead.
        write::sweep(&target);
        // Its mode does not matter: what replaces it has the right one.
        let there = read(target.path(), Readers::Any)?;
        if there.as_deref().map(|bytes| version(bytes)).as_ref() != expected {
            return Err(Error::conflict().at(self.path.display()));
        }
        let version = version(&content);
        write::replace(&target, &content, || {
            seen.set(Content::Version(version.clone()));
        })?;
        Ok(version)
    }

    pub(super) fn lease(&self) -> Result<Option<Lease>, Error> {
        let target = Target::of(&self.path)?;
        Ok(lock::lease(&target)?.map(Lease::new))
    }

    pub(super) fn content(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let readers = if self.group_may_read {
            Readers::Group
        } else {
            Readers::Owner
        };
        read(&self.path, readers)
    }

    fn decode(&self, content: &[u8]) -> Result<Record, Error> {
        let text = std::str::from_utf8(content).map_err(|_| {
            Error::unreadable("holds bytes that are no text: replace it with a token")
        })?;
        if !text.trim_start().starts_with(SEALED) {
            return Record::decode(text);
        }
        let Some(key) = &self.key else {
            return Err(Error::unreadable(
                "is sealed: give the sealing key that it was written with",
            ));
        };
        let plain = open(key, text.trim())?;
        Record::decode(std::str::from_utf8(&plain).unwrap_or_default())
    }

    fn encode(&self, text: &Secret) -> Result<Zeroizing<Vec<u8>>, Error> {
        let content = match &self.key {
            Some(key) => seal(key, text.expose())?.into_bytes(),
            None => text.expose().as_bytes().to_vec(),
        };
        Ok(Zeroizing::new(content))
    }
}
