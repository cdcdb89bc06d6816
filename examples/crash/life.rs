//! Starts and kills processes under one behaviour of the server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use everbearer::testkit::AuthServer;
use everbearer::{AuthApi, FileStore, Grant, Record, TokenIssuer, TokenStore};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Result;
use super::judgement::{Judgement, others_alive};
use super::servers::{Behaviour, SHORT_TERM_LIFE};
use super::victim::{FLAG, GRACE, READY};

/// How long a process has to obtain its first token.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a process runs at most once it is ready: one and a half rotations.
const LONGEST_LIFE: Duration = Duration::from_millis(45);
/// One process in so many lives longer, until the tokens that it has superseded are revoked.
const ONE_IN: u32 = 25;
const LONG_LIFE: Duration = Duration::from_millis(2_500);
/// How long the last process has to revoke the superseded tokens: the longest wait of the provider, and the time for
/// the calls.
const TIME_TO_REVOKE: Duration = SHORT_TERM_LIFE.saturating_add(GRACE.saturating_mul(100));

pub(crate) async fn live(
    behaviour: &'static Behaviour,
    kills: u32,
    seed: u64,
) -> Result<Judgement> {
    let server = behaviour.start().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("token");
    begin(&server, &path).await?;

    let mut random = fastrand::Rng::with_seed(seed);
    let mut judgement = Judgement::new(behaviour);
    for _ in 0..kills {
        behaviour.script(&server, &mut random);
        // One in four is killed while it still recovers.
        let is_premature = random.u8(..4) == 0;
        let longest = match random.u32(..ONE_IN) {
            0 => LONG_LIFE,
            _ => LONGEST_LIFE,
        };
        let lives = longest.mul_f64(random.f64());
        let mut victim = spawn(&server, &path, false)?;
        if !is_premature {
            if !is_ready(&mut victim).await {
                victim.kill().await?;
                server.clear_faults();
                victim = spawn(&server, &path, false)?;
                if !is_ready(&mut victim).await {
                    judgement.lost += 1;
                    victim.kill().await?;
                    begin(&server, &path).await?; // manual intervention
                    continue;
                }
                judgement.failed_starts += 1;
            }
            judgement.restarts += 1;
        }
        tokio::time::sleep(lives).await;
        victim.kill().await?;
        judgement.note_kill(&std::fs::read_to_string(&path)?);
    }

    server.clear_faults();
    let mut last = spawn(&server, &path, true)?;
    if is_ready(&mut last).await {
        until_revoked(&server, &path).await?;
        drop(last.stdin.take());
        last.wait().await?;
    } else {
        judgement.lost += 1;
    }
    judgement.note_end(&server, &current(&path).await?);
    Ok(judgement)
}

/// Waits until no long-term token is valid besides the one in use, but not longer than the provider may take.
async fn until_revoked(server: &AuthServer, path: &Path) -> Result<()> {
    let mut done = 0;
    let revoked = async {
        // A rotation begins with one token alive as well.
        while done < 2 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let is_settled = !std::fs::read_to_string(path)?.contains("\"retiring\"");
            let is_done = is_settled && others_alive(server, &current(path).await?) == 0;
            done = if is_done { done + 1 } else { 0 };
        }
        Ok(())
    };
    let revoked = tokio::time::timeout(TIME_TO_REVOKE, revoked).await;
    revoked.unwrap_or(Ok(()))
}

/// Returns the ID of the token in use.
async fn current(path: &Path) -> Result<String> {
    let stored = FileStore::new(path).load().await?;
    let stored = stored.ok_or("the token file is gone")?;
    let id = stored.record.current().token_id();
    Ok(id.ok_or("the stored token has no ID")?.to_owned())
}

/// Obtains a token and writes it to the file, as an operator does once.
async fn begin(server: &AuthServer, path: &Path) -> Result<()> {
    let grant = Grant::client_secret(server.client_id(), server.client_secret());
    let token = AuthApi::new(server.base_url())?
        .obtain(&grant, None)
        .await?;
    let store = FileStore::new(path);
    let present = store
        .load()
        .await
        .ok()
        .flatten()
        .map(|stored| stored.version);
    store.store(&Record::from(token), present.as_ref()).await?;
    Ok(())
}

fn spawn(server: &AuthServer, path: &Path, stops: bool) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([FLAG, server.base_url(), server.client_id()])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if stops {
        command.arg("stop");
    }
    Ok(command.spawn()?)
}

async fn is_ready(victim: &mut Child) -> bool {
    let Some(output) = victim.stdout.as_mut() else {
        return false;
    };
    let mut line = String::new();
    let mut output = BufReader::new(output);
    let _ = tokio::time::timeout(PATIENCE, output.read_line(&mut line)).await;
    line.trim() == READY
}
