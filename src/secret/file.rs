//! Reads files that hold secrets: without blocking, within bounds, and only if no other user can replace the
//! file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

#[cfg(unix)]
use super::permissions;
use super::unread::Unread;

/// The content of a file.
pub(crate) struct Content {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// The permission bits of the file; 0 where the system has none.
    pub(crate) mode: u32,
    /// Whether users can read the file who are neither root nor the owner, nor in a group of this process.
    pub(crate) is_exposed: bool,
}

/// Reads the file, which may hold `longest` bytes. With `checked`, refuses a file that another user can
/// replace. The buffer is zeroized when it is dropped, and does not move while it is filled.
///
/// It blocks the thread for one read of a small file. It refuses files that could block for longer, such as a FIFO.
#[cfg_attr(
    not(unix),
    expect(unused_variables, reason = "the checks are for unix")
)]
pub(crate) fn read(path: &Path, longest: usize, checked: bool) -> Result<Content, Unread> {
    #[cfg(unix)]
    if checked {
        permissions::check(path)?;
    }
    let mut file = open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        let why = "is no regular file; use one, since it may be read more than once";
        return Err(Unread::Unsuitable(why.to_owned()));
    }
    #[cfg(unix)]
    if checked {
        permissions::check_file(path, &before)?;
    }
    let mut bytes = Zeroizing::new(vec![0; longest + 1]);
    let length = fill(&mut file, &mut bytes)?;
    if length > longest {
        return Err(Unread::Unsuitable(format!(
            "is longer than {} KiB; check that the path names the right file",
            longest / 1024
        )));
    }
    bytes.truncate(length);
    // A truncated secret cannot be recognized.
    if stamp(&before) != stamp(&file.metadata()?) {
        return Err(Unread::Changing);
    }
    Ok(Content {
        bytes,
        mode: mode(&before),
        is_exposed: is_exposed(&before),
    })
}

/// Opens the file, without waiting for a writer if it is a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        use rustix::fs::OFlags;

        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read(buffer.get_mut(length..).unwrap_or_default()) {
            Ok(0) => return Ok(length),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
fn stamp(file: &Metadata) -> (u64, i64, i64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;

    (
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    )
}

#[cfg(not(unix))]
fn stamp(file: &Metadata) -> (u64, Option<std::time::SystemTime>) {
    (file.len(), file.modified().ok())
}

#[cfg(unix)]
fn mode(file: &Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;

    file.mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

/// The mask of an access control list, as systemd sets one for a credential, looks like a right of root's group.
#[cfg(unix)]
fn is_exposed(file: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let is_trusted = permissions::is_private_group(file.gid(), file.uid())
        || permissions::is_own_group(file.gid());
    file.mode() & 0o004 != 0 || (file.mode() & 0o040 != 0 && !is_trusted)
}

#[cfg(not(unix))]
fn is_exposed(_: &Metadata) -> bool {
    false
}
