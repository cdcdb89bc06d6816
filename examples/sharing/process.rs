//! The processes of the daemons, as their parent sees them.

use std::fmt;
use std::path::Path;
use std::process::Stdio;

use everbearer::testkit::AuthServer;
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Result;
use super::daemon::{FLAG, IDLE};

/// A daemon that runs.
pub(crate) struct Daemon {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    pub(crate) fn spawn(server: &AuthServer, path: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([FLAG, server.base_url(), server.client_id()])
            .arg(server.url("/jobs"))
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("a daemon has no input")?;
        let output = child.stdout.take().ok_or("a daemon has no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    pub(crate) fn pid(&self) -> Result<Pid> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        Ok(id.and_then(Pid::from_raw).ok_or("a daemon has ended")?)
    }

    pub(crate) fn check_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("a daemon ended early: {status}").into()),
            None => Ok(()),
        }
    }

    /// Waits until the daemon sends no more requests.
    pub(crate) async fn idle(&mut self) -> Result<()> {
        self.input.write_all(b"\n").await?;
        let line = self.output.next_line().await?.unwrap_or_default();
        if line != IDLE {
            return Err(format!("a daemon printed {line:?}").into());
        }
        Ok(())
    }

    /// Ends the standard input of the daemon, and reads its counts.
    pub(crate) async fn stop(self) -> Result<Tally> {
        let Self {
            mut child,
            input,
            mut output,
        } = self;
        drop(input);
        let line = output.next_line().await?.unwrap_or_default();
        child.wait().await?;
        Ok(
            Tally::parse(&line)
                .ok_or(format!("a daemon printed {line:?} instead of its counts"))?,
        )
    }
}

/// The counts that a daemon prints when it ends.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rotated: u64,
    pub(crate) followed: u64,
    pub(crate) store_failed: u64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.rotated += other.rotated;
        self.followed += other.followed;
        self.store_failed += other.store_failed;
        self.requests += other.requests;
        self.failed += other.failed;
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut number = || numbers.next()?.ok();
        Some(Self {
            rotated: number()?,
            followed: number()?,
            store_failed: number()?,
            requests: number()?,
            failed: number()?,
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rotated {} times, reloaded {} times, {} requests, {} failed",
            self.rotated, self.followed, self.requests, self.failed
        )
    }
}
