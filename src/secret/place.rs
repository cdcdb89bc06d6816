//! Whether another user can replace a file: by its owner and mode, and by those of the directories on its
//! path.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::process::{getegid, geteuid};

use super::file::Unread;

/// How many symlinks a path may have, as on Linux.
const MOST_LINKS: usize = 40;

const ROOT: u32 = 0;
const STICKY: u32 = 0o1000;
const BY_GROUP: u32 = 0o020;
const BY_OTHERS: u32 = 0o002;

/// Checks each directory and symlink on the way to the file. What is missing is left to whoever opens the
/// file.
pub(crate) fn check(path: &Path) -> Result<(), Unread> {
    let path = std::path::absolute(path)?;
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    check_directory(&at, &fs::symlink_metadata(&at)?)?;
    let mut rest = parts(&path);
    while let Some(part) = rest.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        let there = match fs::symlink_metadata(&next) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if there.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(Unread::Unsuitable("has too many symlinks".to_owned()));
            }
            check_owner("the symlink", &next, &there)?;
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(parts(&target));
            continue;
        }
        if there.is_dir() {
            check_directory(&next, &there)?;
        }
        at = next;
    }
    Ok(())
}

/// Checks the file that was opened.
pub(crate) fn check_file(path: &Path, file: &Metadata) -> Result<(), Unread> {
    check_owner("the file", path, file)?;
    if is_writable_by_others(file) {
        return Err(replaceable(
            "it may be written by others",
            &format!("chmod go-w {}", path.display()),
            file,
        ));
    }
    Ok(())
}

/// Checks that only the owner of the directory may create files in it.
#[cfg(feature = "file-store")]
pub(crate) fn check_own_directory(path: &Path) -> Result<(), Unread> {
    check(path)?;
    let directory = fs::metadata(path)?;
    if is_writable_by_others(&directory) {
        return Err(replaceable(
            &format!(
                "others may create files in its directory {}",
                path.display()
            ),
            &format!("chmod go-w {}", path.display()),
            &directory,
        ));
    }
    Ok(())
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    let mut parts: Vec<OsString> = parts.collect();
    parts.reverse();
    parts
}

fn check_directory(path: &Path, directory: &Metadata) -> Result<(), Unread> {
    check_owner("the directory", path, directory)?;
    if is_writable_by_others(directory) && directory.mode() & STICKY == 0 {
        return Err(replaceable(
            &format!(
                "others may write in the directory {}, which is not sticky",
                path.display()
            ),
            &format!("chmod go-w {}", path.display()),
            directory,
        ));
    }
    Ok(())
}

fn check_owner(what: &str, path: &Path, metadata: &Metadata) -> Result<(), Unread> {
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if owner == own || owner == ROOT {
        return Ok(());
    }
    let path = path.display();
    Err(Unread::Replaceable(format!(
        "the user {owner} owns {what} {path}, and this process runs as {own}; run `chown {own} {path}`"
    )))
}

/// Returns whether another user than the owner may write there.
fn is_writable_by_others(metadata: &Metadata) -> bool {
    let own_group = getegid().as_raw();
    let is_trusted = is_trusted_group(metadata.gid(), metadata.uid(), own_group);
    let by_group = metadata.mode() & BY_GROUP != 0 && !is_trusted;
    by_group || metadata.mode() & BY_OTHERS != 0
}

/// Returns whether the members of a group are trusted like the owner: of the owner's private group, which has
/// the owner's number, and of the group that this process runs as, which is the `fsGroup` of a pod.
const fn is_trusted_group(group: u32, owner: u32, own_group: u32) -> bool {
    group == owner || group == own_group
}

fn replaceable(why: &str, command: &str, metadata: &Metadata) -> Unread {
    let mode = metadata.mode() & 0o7777;
    Unread::Replaceable(format!("{why} (mode {mode:04o}); run `{command}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_a_private_group_and_the_group_of_the_process_are_trusted() {
        assert!(is_trusted_group(1000, 1000, 100), "a private group");
        assert!(is_trusted_group(65532, 0, 65532), "an fsGroup");
        assert!(!is_trusted_group(27, 0, 1000), "sudo");
        assert!(!is_trusted_group(0, 1000, 1000), "root's");
    }
}
