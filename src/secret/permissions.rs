//! Checks whether another user can replace a file, by its owner and mode and by those of the directories on its path.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::process::{getegid, geteuid, getgroups};

use super::unread::Unread;

/// How many symlinks a path may have, as on Linux.
const MOST_LINKS: usize = 40;

const ROOT: u32 = 0;
const SET_GROUP: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const BY_GROUP: u32 = 0o020;
const BY_OTHERS: u32 = 0o002;

/// Checks each directory and symlink on the way to the file, which must exist.
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
            // Links to open files, such as `/proc/self/fd/3`, belong to this process and have no path.
            Err(_) if at.starts_with("/proc") => return Ok(()),
            there => there?,
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
        let mode = shown_mode(file);
        return Err(Unread::Replaceable(format!(
            "other users can write to it (mode {mode}); run `chmod go-w {}`",
            path.display()
        )));
    }
    Ok(())
}

/// Checks that other users cannot create files in the directory.
#[cfg(feature = "file-store")]
pub(crate) fn check_own_directory(path: &Path) -> Result<(), Unread> {
    check(path)?;
    let directory = fs::metadata(path)?;
    if is_writable_by_others(&directory) {
        return Err(open_directory(path, &directory, ""));
    }
    Ok(())
}

/// Returns the parts of a path, the last one first.
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
        return Err(open_directory(path, directory, ", which is not sticky"));
    }
    Ok(())
}

fn open_directory(path: &Path, metadata: &Metadata, more: &str) -> Unread {
    let shown = path.display();
    let bits = shown_mode(metadata);
    Unread::Replaceable(format!(
        "other users can write to the directory {shown}{more} (mode {bits}); move the file into a directory \
         that only this user can write to"
    ))
}

fn check_owner(what: &str, path: &Path, metadata: &Metadata) -> Result<(), Unread> {
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if owner == own || owner == ROOT {
        return Ok(());
    }
    Err(Unread::Replaceable(format!(
        "the user {owner} owns {what} {}, and this process runs as {own}; give the process a file of its own",
        path.display()
    )))
}

/// Returns whether other users than root and the owner can write there.
fn is_writable_by_others(metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let by_group = mode & BY_GROUP != 0
        && !is_private_group(metadata.gid(), metadata.uid())
        && !is_shared_on_purpose(metadata);
    by_group || mode & BY_OTHERS != 0
}

/// Returns whether the owner is the only member of the group: by convention, it has the owner's number.
pub(super) const fn is_private_group(group: u32, owner: u32) -> bool {
    group == owner
}

/// Returns whether this is a directory with the set-group-ID bit, as Kubernetes sets it for the `fsGroup` of a pod,
/// and this process is in its group.
fn is_shared_on_purpose(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.mode() & SET_GROUP != 0 && is_own_group(metadata.gid())
}

/// Returns whether this process is in the group.
pub(super) fn is_own_group(group: u32) -> bool {
    let groups = getgroups().unwrap_or_default();
    getegid().as_raw() == group || groups.iter().any(|own| own.as_raw() == group)
}

fn shown_mode(metadata: &Metadata) -> String {
    format!("{:04o}", metadata.mode() & 0o7777)
}
