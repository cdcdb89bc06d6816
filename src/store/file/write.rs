//! Replaces the file in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::failure::cannot_write;
use super::target::Target;
use crate::error::Error;

/// Replaces the file with this content: writes it to the disk, then renames it. Calls `replaced` after the rename.
pub(super) fn replace(
    target: &Target,
    content: &[u8],
    replaced: impl FnOnce(),
) -> Result<(), Error> {
    steps(target, content, replaced).map_err(|error| cannot_write(target.path(), error))
}

fn steps(target: &Target, content: &[u8], replaced: impl FnOnce()) -> io::Result<()> {
    // Opened before anything is written, since the directory must be synced later.
    let directory = File::open(target.directory())?;
    let temporary = Temporary(target.directory().join(temporary_name(target)));
    let mut file = temporary.create()?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    temporary.rename(target.path())?;
    replaced();
    match directory.sync_all() {
        // Some file systems cannot sync a directory, and do not need it.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Removes the temporary files of killed processes. The caller holds the write lock.
pub(super) fn sweep(target: &Target) {
    let Ok(entries) = fs::read_dir(target.directory()) else {
        return;
    };
    for entry in entries.flatten() {
        if is_temporary(entry.file_name().as_bytes(), target.name().as_bytes()) {
            // A file that cannot be removed now is removed by a later write.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn temporary_name(target: &Target) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.name());
    name.push(format!(".{:016x}.tmp", fastrand::u64(..)));
    name
}

fn is_temporary(entry: &[u8], name: &[u8]) -> bool {
    let number = entry
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".tmp"));
    number.is_some_and(|number| number.len() == 16 && number.iter().all(u8::is_ascii_hexdigit))
}

/// A temporary file, which is removed unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn create(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.0)
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.0, to)?;
        self.0.clear();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_files_of_this_file_are_swept() {
        let target = Target::of(Path::new("/srv/token")).unwrap();
        assert!(is_temporary(temporary_name(&target).as_bytes(), b"token"));
        for other in [
            ".token.tmp",
            ".token.0123456789abcdeg.tmp",
            ".token.0123456789abcdef.tmp~",
            ".token.b.0123456789abcdef.tmp",
            "token.0123456789abcdef.tmp",
            "token",
            "token.lock",
        ] {
            assert!(!is_temporary(other.as_bytes(), b"token"), "{other}");
        }
    }
}
