//! File locks, which the kernel releases when their holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::OFlags;

use super::failure::cannot_write;
use super::target::Target;
use crate::error::{Error, ErrorKind};

/// A lock that is released when this is dropped.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Drop for Locked {
    /// Unlocks explicitly, since closing the file may not suffice: a child process that another thread is starting holds
    /// the file until it executes its program.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Locked {
    pub(super) const fn file(&self) -> &File {
        &self.0
    }
}

/// How often the lock is tried, and the pause between two attempts: 5 seconds in all. A write that takes longer hangs,
/// and must not block other processes.
const LOOKS: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Takes the write lock, which other processes hold during a write.
pub(super) fn wait_for(target: &Target) -> Result<Locked, Error> {
    let path = target.beside("lock");
    let file = open(&path).map_err(|error| cannot_write(target.path(), error))?;
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(Locked(file)),
            Err(TryLockError::WouldBlock) => sleep(BETWEEN_LOOKS),
            Err(TryLockError::Error(error)) => return Err(cannot_write(target.path(), error)),
        }
    }
    Err(Error::own(
        ErrorKind::Store,
        format!(
            "{} cannot be written: another process has locked {} for {:?}; check whether it hangs",
            target.path().display(),
            path.display(),
            BETWEEN_LOOKS * LOOKS
        ),
    ))
}

/// Returns the lease, or `None` if another file descriptor holds it, of this process or another.
pub(super) fn lease(target: &Target) -> Result<Option<Locked>, Error> {
    let file = open(&target.beside("lease")).map_err(|error| cannot_write(target.path(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Locked(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(cannot_write(target.path(), error)),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}
