//! A server process that runs for as long as its test holds it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{INTERVAL, PATIENCE};

const LOG: &str = "log";

pub(super) struct Process {
    child: Child,
    dir: TempDir,
}

impl Process {
    /// Starts a program that tests/interop/issuers/run has installed.
    pub(super) fn spawn(program: &str, args: &[&str]) -> Self {
        let installed = installed();
        let program = installed.join("bin").join(program);
        assert!(
            program.exists(),
            "{} does not exist; run tests/interop/issuers/run",
            program.display()
        );
        let dir = tempfile::tempdir().unwrap();
        let log = File::create(dir.path().join(LOG)).unwrap();
        // On Linux, the process ends with the test even if the test is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&program);
        if !cfg!(target_os = "linux") {
            command = Command::new(&program);
        }
        let spawned = command
            .args(args)
            .current_dir(&installed)
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let child = spawned.unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!("setpriv is not installed; Debian's util-linux has it"),
            _ => panic!("{} cannot be started: {error}", program.display()),
        });
        Self { child, dir }
    }

    /// What the process has written to its standard output and standard error.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    /// Returns the rest of the first line in the log that begins with this, or `None` if the process ends without
    /// one.
    pub(super) async fn line(&mut self, begin: &str) -> Option<String> {
        let found = async {
            loop {
                let has_ended = self.child.try_wait().unwrap().is_some();
                let log = self.log();
                let mut lines = log.split_inclusive('\n');
                if let Some(rest) =
                    lines.find_map(|line| line.strip_suffix('\n')?.strip_prefix(begin))
                {
                    return Some(rest.to_owned());
                }
                if has_ended {
                    return None;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, found).await;
        in_time.unwrap_or_else(|_| panic!("no line with {begin:?}: {}", self.log()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory in which tests/interop/issuers/run installs the servers, below the target directory.
pub(super) fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("issuers")
}
