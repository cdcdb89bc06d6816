//! Why a file that holds a secret was not read.

use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    Io(io::Error),
    /// The file cannot hold a secret.
    Unsuitable(String),
    /// Another user can replace the file.
    #[cfg_attr(not(unix), expect(dead_code, reason = "the checks are for unix"))]
    Replaceable(String),
    /// The file changed while it was read.
    Changing,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Unread {
    /// Returns the error for the file that `what` describes. If the file cannot be read now, the error has the kind
    /// `unreadable`. `instead` states how the file can be read without the checks.
    pub(crate) fn into_error(
        self,
        what: &str,
        path: &Path,
        unreadable: ErrorKind,
        instead: &str,
    ) -> Error {
        let kind = match &self {
            Self::Unsuitable(_) => ErrorKind::Config,
            Self::Io(_) | Self::Replaceable(_) | Self::Changing => unreadable,
        };
        let text = format!("{what} {} {}", path.display(), self.reason(instead));
        match self {
            Self::Io(error) => Error::own(kind, text).with_source(error),
            _ => Error::own(kind, text),
        }
    }

    /// Returns why the file was not read, after its name.
    pub(crate) fn reason(&self, instead: &str) -> String {
        match self {
            Self::Io(_) => {
                "cannot be read; check that it exists and that this process can read it".to_owned()
            }
            Self::Unsuitable(why) => why.clone(),
            Self::Replaceable(why) => format!(
                "can be replaced by another user: {why}; where the file system has no modes, as under WSL, or \
                 that user is trusted, {instead}"
            ),
            Self::Changing => "is being written to; try again".to_owned(),
        }
    }
}
