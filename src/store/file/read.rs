//! Reads the file as a whole, and only if no other user can replace it.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::failure::{cannot_read, refused};
use crate::error::Error;
use crate::secret::file::{self, Content};
use crate::secret::unread::Unread;

/// The maximum length of the file: 256 KiB.
pub(super) const MOST: usize = 256 * 1024;

/// How often a file that changes meanwhile is read, and the pause between two attempts.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// Returns what the file holds, or `None` if there is no such file.
pub(super) fn read(path: &Path, checked: bool) -> Result<Option<Content>, Error> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        match file::read(path, MOST, checked) {
            Ok(content) => return Ok(Some(content)),
            Err(Unread::Changing) => {}
            Err(Unread::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(unread) => return Err(cannot_use(path, unread)),
        }
    }
    Err(cannot_use(path, Unread::Changing))
}

pub(super) fn cannot_use(path: &Path, unread: Unread) -> Error {
    match unread {
        Unread::Io(error) => cannot_read(path, error),
        unread => {
            let instead = "accept it with `FileStore::skip_permission_checks`";
            refused(path, &unread.reason(instead))
        }
    }
}

/// Returns whether a file of this mode is accessible only to users who may read a record: the owner, and its group if
/// `group_may_read` is set.
pub(super) const fn is_own_mode(mode: u32, group_may_read: bool) -> bool {
    let accepted = if group_may_read { 0o040 } else { 0 };
    mode & 0o077 & !accepted == 0
}

/// Checks the mode of a file that the store wrote.
pub(super) fn check_own_mode(path: &Path, mode: u32, group_may_read: bool) -> Result<(), Error> {
    if is_own_mode(mode, group_may_read) {
        return Ok(());
    }
    let mut text = format!(
        "users other than the owner can access it (mode {mode:04o}); run `chmod 600 {}`",
        path.display()
    );
    if mode & !0o740 == 0 {
        text.push_str(", or accept it with `accept_group_readable` if Kubernetes has set the mode");
    }
    Err(refused(path, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_only_the_owner_may_read_a_record_unless_the_group_is_accepted() {
        let path = Path::new("/srv/token");
        let check = |mode, group| check_own_mode(path, mode, group).is_ok();
        for mode in [0o600, 0o400, 0o700] {
            assert!(check(mode, false), "{mode:o}");
        }
        for mode in [0o640, 0o440, 0o660, 0o604, 0o644, 0o602, 0o610, 0o777] {
            assert!(!check(mode, false), "{mode:o}");
        }
        for mode in [0o640, 0o440, 0o600] {
            assert!(check(mode, true), "{mode:o}");
        }
        for mode in [0o660, 0o644, 0o444, 0o650, 0o641] {
            assert!(!check(mode, true), "{mode:o}");
        }
    }

    #[test]
    fn a_refused_mode_is_told_with_its_remedy_in_one_line() {
        let path = Path::new("/srv/token");
        let error = check_own_mode(path, 0o644, false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("0644") && text.contains("`chmod 600 /srv/token`"));
        assert!(!text.contains('\n') && !text.contains("accept_group"));
        let error = check_own_mode(path, 0o440, false).unwrap_err();
        assert!(error.to_string().contains("accept_group_readable"));
    }
}
