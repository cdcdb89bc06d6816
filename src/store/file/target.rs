//! The file that is written, and the paths of the files beside it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::{cannot_write, refused};
use crate::error::Error;

/// The file that is replaced: the file at the path, or the target of the symlink there.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

impl Target {
    /// Follows symlinks, so that processes with different paths to the file use the same locks.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let is_link = match fs::symlink_metadata(path) {
            Ok(there) => there.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(cannot_write(path, error)),
        };
        let real = match is_link.then(|| fs::canonicalize(path)).transpose() {
            Ok(real) => real.unwrap_or_else(|| path.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refused(
                    path,
                    "is a symlink to a missing file; create that file, or remove the link",
                ));
            }
            Err(error) => return Err(cannot_write(path, error)),
        };
        match (real.parent(), real.file_name()) {
            (Some(directory), Some(name)) => Ok(Self {
                directory: directory.to_owned(),
                name: name.to_owned(),
                path: real,
            }),
            _ => Err(refused(path, "is not the path of a file")),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns the path `<name>.<ending>` in the same directory.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.name.clone();
        name.push(".");
        name.push(ending);
        self.directory.join(name)
    }
}
