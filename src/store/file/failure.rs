//! Errors of the file, with what to do.

use std::io;
use std::path::Path;

use tokio::runtime::TryCurrentError;
use tokio::task::JoinError;

use crate::error::{Error, ErrorKind};

/// Returns the error of a file that is not used, for this reason.
pub(super) fn refused(path: &Path, why: &str) -> Error {
    Error::own(ErrorKind::Store, format!("{}: {why}", path.display()))
}

pub(super) fn cannot_read(path: &Path, error: io::Error) -> Error {
    let what_to_do = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied; run this process as the file's owner, or change the owner"
        }
        io::ErrorKind::NotADirectory => "a part of its path is a file and not a directory",
        _ => return failed(path, "read", &error.to_string(), error),
    };
    failed(path, "read", what_to_do, error)
}

pub(super) fn cannot_write(path: &Path, error: io::Error) -> Error {
    let what_to_do = match error.kind() {
        io::ErrorKind::NotFound => "its directory does not exist; create it",
        io::ErrorKind::NotADirectory => "a part of its path is a file and not a directory",
        io::ErrorKind::PermissionDenied => {
            "permission denied in its directory; run this process as the directory's owner, or change \
             the owner"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "its directory is read-only, as those of Kubernetes secrets are; use a writable directory"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full, and the file is unchanged; free some space"
        }
        io::ErrorKind::InvalidFilename => {
            "its name is too long, since the store adds a suffix; use a shorter name"
        }
        io::ErrorKind::ResourceBusy => {
            "it is a mount point and cannot be replaced; mount its directory instead"
        }
        _ => return failed(path, "written", &error.to_string(), error),
    };
    failed(path, "written", what_to_do, error)
}

/// Returns the error of a call outside of a tokio runtime.
pub(super) fn no_runtime(error: TryCurrentError) -> Error {
    let text = "the token file needs a tokio runtime; call the store within one";
    Error::own(ErrorKind::NoRuntime, text).with_source(error)
}

/// Returns the error of blocking work that panicked or was not started.
pub(super) fn not_done(error: JoinError) -> Error {
    if error.is_panic() {
        let text = "the access to the token file panicked";
        return Error::own(ErrorKind::Store, text).with_source(error);
    }
    let text = "the tokio runtime is shutting down; the token file is unchanged";
    Error::own(ErrorKind::NoRuntime, text).with_source(error)
}

fn failed(path: &Path, what: &str, what_to_do: &str, error: io::Error) -> Error {
    refused(path, &format!("cannot be {what}: {what_to_do}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn l18_a_file_that_is_mounted_is_told_with_what_to_do() {
        let error = cannot_write(Path::new("/srv/token"), Errno::BUSY.into());
        assert!(error.to_string().contains("mount its directory"), "{error}");
    }

    #[test]
    fn l8_each_failure_says_where_and_what_to_do() {
        for (errno, must) in [
            (Errno::NOSPC, "free some space"),
            (Errno::DQUOT, "free some space"),
            (Errno::ROFS, "read-only"),
            (Errno::ACCESS, "change the owner"),
            (Errno::PERM, "change the owner"),
            (Errno::NOENT, "create it"),
            (Errno::NOTDIR, "not a directory"),
            (Errno::NAMETOOLONG, "too long"),
            (Errno::IO, "Input/output error"),
        ] {
            let error = cannot_write(Path::new("/srv/token"), errno.into());
            assert_eq!(error.kind(), ErrorKind::Store);
            let text = error.to_string();
            assert!(
                text.starts_with("/srv/token: ") && text.contains(must),
                "{text}"
            );
            assert!(std::error::Error::source(&error).is_some());
        }
    }
}
