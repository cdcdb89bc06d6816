//! Reading the file: as a whole, within bounds, and only if nobody else may.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::failure::{cannot_read, refused};
use crate::error::Error;

/// The most that a file may hold: 256 KiB.
pub(super) const MOST: usize = 256 * 1024;

/// How often a file is read that changes meanwhile, and after which pause.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// Who but the owner may have a right to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Nobody.
    Owner,
    /// Its group, to read it.
    Group,
    /// Whoever has.
    Any,
}

/// The content, or `None` if there is no such file. The buffer is as long as any content may be,
/// for one that grows leaves copies behind.
pub(super) fn read(path: &Path, readers: Readers) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        let mut file = match open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot_read(path, error)),
        };
        let before = file.metadata().map_err(|error| cannot_read(path, error))?;
        if !before.is_file() {
            return Err(refused(
                path,
                "is no regular file: name another, or put a token file there",
            ));
        }
        check_mode(path, before.mode(), readers)?;
        let mut content = Zeroizing::new(vec![0; MOST + 1]);
        let length = fill(&mut file, &mut content).map_err(|error| cannot_read(path, error))?;
        if length > MOST {
            return Err(refused(
                path,
                "is larger than 256 KiB, so it is no token file",
            ));
        }
        content.truncate(length);
        let after = file.metadata().map_err(|error| cannot_read(path, error))?;
        // A token that was cut short looks like any other.
        if stamp(&before) == stamp(&after) {
            return Ok(Some(content));
        }
    }
    Err(refused(path, "is being written to: try again"))
}

/// Does not wait for a writer if it is a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

fn stamp(file: &Metadata) -> (u64, i64, i64, i64, i64) {
    (
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    )
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

fn check_mode(path: &Path, mode: u32, readers: Readers) -> Result<(), Error> {
    let accepted = match readers {
        Readers::Owner => 0,
        Readers::Group => 0o040,
        Readers::Any => 0o077,
    };
    let mode = mode & 0o777;
    if mode & 0o077 & !accepted == 0 {
        return Ok(());
    }
    let mut text = format!(
        "may be used by others than its owner (mode {mode:04o}): run `chmod 600 {}`",
        path.display()
    );
    if mode & !0o740 == 0 {
        text.push_str(", or accept it with `accept_group_readable` if Kubernetes has set the mode");
    } else {
        text.push_str(", or set `defaultMode: 0400` if it is a Kubernetes secret");
    }
    Err(refused(path, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s7_only_the_owner_may_read_unless_the_group_is_accepted() {
        let path = Path::new("/srv/token");
        let check = |mode, readers| check_mode(path, mode, readers).is_ok();
        for mode in [0o100_600, 0o400, 0o700] {
            assert!(check(mode, Readers::Owner), "{mode:o}");
        }
        for mode in [0o640, 0o440, 0o660, 0o604, 0o644, 0o602, 0o610, 0o777] {
            assert!(!check(mode, Readers::Owner), "{mode:o}");
            assert!(check(mode, Readers::Any), "{mode:o}");
        }
        for mode in [0o640, 0o440, 0o600] {
            assert!(check(mode, Readers::Group), "{mode:o}");
        }
        for mode in [0o660, 0o644, 0o444, 0o650, 0o641] {
            assert!(!check(mode, Readers::Group), "{mode:o}");
        }
    }

    #[test]
    fn a_refused_mode_is_told_with_its_remedy_in_one_line() {
        let path = Path::new("/srv/token");
        let error = check_mode(path, 0o644, Readers::Owner).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("0644") && text.contains("`chmod 600 /srv/token`"));
        assert!(!text.contains('\n') && !text.contains("accept_group"));
        let error = check_mode(path, 0o440, Readers::Owner).unwrap_err();
        assert!(error.to_string().contains("accept_group_readable"));
    }
}
