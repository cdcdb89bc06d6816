//! Starts and kills processes under one behaviour of the server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use everbearer::testkit::{AuthServer, Endpoint, Fault, OldLongTermToken};
use everbearer::{AuthApi, FileStore, Grant, Record, TokenIssuer, TokenStore};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Result;
use super::judgement::Judgement;
use super::victim::{FLAG, READY};

/// How long a process has to obtain its first token.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a process runs at most once it is ready: one and a half rotations.
const LONGEST_LIFE: Duration = Duration::from_millis(45);

pub(crate) struct Behaviour {
    pub(crate) name: &'static str,
    pub(crate) old: OldLongTermToken,
    pub(crate) loses_responses: bool,
}

pub(crate) async fn live(behaviour: &Behaviour, kills: u32, seed: u64) -> Result<Judgement> {
    let server = AuthServer::builder()
        .rotation(behaviour.old)
        .start()
        .await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("token");
    begin(&server, &path).await?;

    let mut random = fastrand::Rng::with_seed(seed);
    let mut judgement = Judgement::new(behaviour.name);
    for _ in 0..kills {
        if behaviour.loses_responses {
            lose_responses(&server, &mut random);
        }
        let mut victim = spawn(&server, &path, false)?;
        // One in four is killed while it still recovers.
        let is_premature = random.u8(..4) == 0;
        let lives = LONGEST_LIFE.mul_f64(random.f64());
        if is_premature {
            tokio::time::sleep(lives).await;
        } else {
            if !is_ready(&mut victim).await {
                judgement.lost += 1;
                victim.kill().await?;
                server.clear_faults();
                begin(&server, &path).await?; // manual intervention
                continue;
            }
            judgement.restarts += 1;
            tokio::time::sleep(lives).await;
        }
        victim.kill().await?;
        judgement.note_kill(&std::fs::read_to_string(&path)?);
    }

    server.clear_faults();
    let mut last = spawn(&server, &path, true)?;
    if !is_ready(&mut last).await || !last.wait().await?.success() {
        judgement.lost += 1;
    }
    judgement.note_end(&server, &std::fs::read_to_string(&path)?);
    Ok(judgement)
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

fn lose_responses(server: &AuthServer, random: &mut fastrand::Rng) {
    server.clear_faults();
    for endpoint in [Endpoint::LongTerm, Endpoint::ShortTerm, Endpoint::Revoke] {
        let faults = (0..40).map(|_| match random.u8(..3) {
            0 => Fault::LoseResponse,
            _ => Fault::Pass,
        });
        server.script(endpoint, faults);
    }
}

fn spawn(server: &AuthServer, path: &Path, stops: bool) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([FLAG, server.base_url(), server.client_id()])
        .arg(path)
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
