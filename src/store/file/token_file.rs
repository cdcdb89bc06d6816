//! The blocking operations on the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::content::{Content, SEALED, is_own, version};
use super::failure::{cannot_write, refused};
use super::fence::{self, Fence};
use super::read::{MOST, cannot_use, check_own_mode, is_own_mode, read};
#[cfg(feature = "sealed")]
use super::seal::{self, SealingKey};
use super::seen::Seen;
use super::target::Target;
use super::{lock, write};
use crate::error::Error;
use crate::secret::file::Content as Read;
use crate::secret::unread::Unread;
use crate::secret::{Secret, permissions};
use crate::store::{Lease, Record, Stored, Version};
use crate::text::without_line_breaks;

/// The content of the file.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) stored: Option<Stored>,
    /// The mode of the file, if other users can read it.
    pub(super) exposed: Option<u32>,
}

/// Where the file is, and how it is read and written.
#[derive(Clone, Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    pub(super) group_may_read: bool,
    /// Whether a file is refused that another user can replace.
    pub(super) checked: bool,
    #[cfg(feature = "sealed")]
    pub(super) key: Option<SealingKey>,
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path: std::path::absolute(&path).unwrap_or(path),
            group_may_read: false,
            checked: true,
            #[cfg(feature = "sealed")]
            key: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self, seen: &Seen) -> Result<Loaded, Error> {
        let _turn = seen.turn();
        let content = self.content();
        seen.set(Content::from(&content));
        let Some(content) = content? else {
            return Ok(Loaded::default());
        };
        let record = self
            .decode(&content.bytes)
            .map_err(|error| error.at(self.path.display()))?;
        let is_exposed = content.is_exposed && !is_own_mode(content.mode, self.group_may_read);
        Ok(Loaded {
            stored: Some(Stored::new(record, version(&content.bytes))),
            exposed: (self.checked && is_exposed).then_some(content.mode),
        })
    }

    pub(super) fn replace(
        &self,
        text: &Secret,
        expected: Option<&Version>,
        seen: &Seen,
        fence: &Fence,
    ) -> Result<Version, Error> {
        let content = self.encode(text)?;
        if content.len() > MOST {
            return Err(refused(&self.path, "the record is larger than 256 KiB"));
        }
        let target = self.target()?;
        let _lock = lock::wait_for(&target)?;
        let _turn = seen.turn();
        // While this process holds the lock, a temporary file can only come from a process that was killed.
        write::sweep(&target);
        if fence.is_lost(&target) {
            return Err(Error::conflict().at(self.path.display()));
        }
        // The owner and mode of the old file do not matter, since the new file has the right ones.
        let there = read(target.path(), false)?;
        if there.map(|there| version(&there.bytes)).as_ref() != expected {
            return Err(Error::conflict().at(self.path.display()));
        }
        let version = version(&content);
        write::replace(&target, &content, || {
            seen.set(Content::Version(version.clone()));
        })?;
        Ok(version)
    }

    pub(super) fn lease(&self, fence: &Arc<Fence>) -> Result<Option<Lease>, Error> {
        let target = self.target()?;
        let Some(locked) = lock::lease(&target)? else {
            return Ok(None);
        };
        let number = fence::next(&locked).map_err(|error| cannot_write(&self.path, error))?;
        Ok(Some(Lease::fenced(fence.hold(locked, number), number)))
    }

    pub(super) fn content(&self) -> Result<Option<Read>, Error> {
        let Some(content) = read(&self.path, self.checked)? else {
            return Ok(None);
        };
        // A bare token was written by another program, which sets its mode.
        if self.checked && is_own(&content.bytes) {
            check_own_mode(&self.path, content.mode, self.group_may_read)?;
        }
        Ok(Some(content))
    }

    /// Returns the file to write. Other users must not be able to replace it or to create files beside it.
    fn target(&self) -> Result<Target, Error> {
        let target = Target::of(&self.path)?;
        if self.checked {
            let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
            match permissions::check(&self.path) {
                Err(Unread::Io(error)) if is_missing(&error) => {} // it is about to be created
                checked => checked.map_err(|unread| self.cannot_write(unread))?,
            }
            permissions::check_own_directory(target.directory())
                .map_err(|unread| self.cannot_write(unread))?;
        }
        Ok(target)
    }

    fn cannot_write(&self, unread: Unread) -> Error {
        match unread {
            Unread::Io(error) => cannot_write(&self.path, error),
            unread => cannot_use(&self.path, unread),
        }
    }

    #[cfg_attr(
        not(feature = "sealed"),
        expect(clippy::unused_self, reason = "there is no key without the feature")
    )]
    fn decode(&self, content: &[u8]) -> Result<Record, Error> {
        let text = std::str::from_utf8(content)
            .map_err(|_| Error::unreadable("is not UTF-8; replace it with a token"))?;
        let text = without_line_breaks(text);
        if !text.trim_start().starts_with(SEALED) {
            return Record::decode(text);
        }
        #[cfg(feature = "sealed")]
        if let Some(key) = &self.key {
            let plain = seal::open(key, text.trim())?;
            return Record::decode(std::str::from_utf8(&plain).unwrap_or_default());
        }
        Err(Error::unreadable(
            "is sealed; set the key it was written with (FileStore::sealed_with, feature sealed)",
        ))
    }

    #[cfg_attr(
        not(feature = "sealed"),
        expect(
            clippy::unnecessary_wraps,
            clippy::unused_self,
            reason = "there is no key without the feature"
        )
    )]
    fn encode(&self, text: &Secret) -> Result<Zeroizing<Vec<u8>>, Error> {
        #[cfg(feature = "sealed")]
        if let Some(key) = &self.key {
            return Ok(Zeroizing::new(seal::seal(key, text.expose())?.into_bytes()));
        }
        Ok(Zeroizing::new(text.expose().as_bytes().to_vec()))
    }
}
