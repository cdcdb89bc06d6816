//! The daemon from its start to its end.

use std::path::Path;
use std::sync::Arc;

use everbearer::TokenProvider;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, in_keys};
use crate::failure::{Failure, one_line};
use crate::job::Work;
use crate::place::Places;
use crate::{http, job, load, report, service};

/// Runs the daemon. Returns whether all tokens are revoked.
pub(crate) async fn run(path: &Path) -> Result<bool, Failure> {
    let (mut config, places) = load::load(path)?;
    let mut signals = Signals::new()?;
    let metrics = http::recorder()?;
    job::describe();
    let listener = http::bind(config.http.listen).await?;
    let listening = listener.local_addr().unwrap_or(config.http.listen);

    let provider = service::start(&config, &places).await?;
    let work = Arc::new(Work::new(&provider, config.job.clone(), &places)?);
    let (stop, stopping) = watch::channel(false);
    let (over, is_over) = watch::channel(false);
    let server = http::serve(
        listener,
        provider.clone(),
        metrics,
        stopping.clone(),
        is_over,
    );
    let server = tokio::spawn(server);
    tracing::info!(%listening, pid = std::process::id(), "started");

    let (work, to_do) = watch::channel(work);
    let mut jobs = JoinSet::new();
    if begin(&config, &places, &provider, &mut signals).await? {
        jobs.spawn(job::run(to_do, stopping));
        tell_supervisor(&NotifyState::Ready);
        while signals.next().await == Asked::Reload {
            reload(path, &mut config, &provider, &work);
            // A stop does not wait for a reload.
            let reloaded = tokio::select! {
                reloaded = provider.reload() => reloaded,
                () = signals.stop() => break,
            };
            match reloaded {
                Ok(()) => tracing::info!("reloaded the token file"),
                Err(error) => {
                    let error = in_keys(&one_line(&error));
                    tracing::error!(
                        error,
                        "could not reload the token file; the long-term token stays in use"
                    );
                }
            }
        }
    }

    tell_supervisor(&NotifyState::Stopping);
    let _ = stop.send(true);
    tracing::info!(deadline = ?config.shutdown.deadline.0, "stopping");
    // Waits for the job in flight, for half of the deadline.
    let for_job = config.shutdown.for_job();
    let finished = tokio::time::timeout(for_job, jobs.join_next()).await;
    if finished.is_err() {
        tracing::warn!("the job in flight did not end in time and was dropped");
    }
    drop(jobs); // ends the job in flight
    let outcome = provider.shutdown().await;
    let _ = over.send(true);
    let _ = tokio::time::timeout(config.shutdown.for_http(), server).await;
    report::print(&outcome);
    if outcome.all_revoked() {
        tracing::info!(report = %outcome, "stopped");
    } else {
        tracing::warn!(report = %outcome, "stopped; tokens may still be valid");
    }
    Ok(outcome.all_revoked())
}

/// Waits for the first token. After a retryable error, the daemon starts without one. Returns `false` if the daemon is
/// stopped meanwhile.
async fn begin(
    config: &Config,
    places: &Places,
    provider: &TokenProvider,
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let outcome = tokio::select! {
        outcome = provider.ready() => outcome,
        () = signals.stop() => return Ok(false),
    };
    let Err(error) = outcome else {
        return Ok(true);
    };
    if let Some(failure) = service::refusal(config, places, &error) {
        provider.shutdown().await;
        return Err(failure);
    }
    let error = in_keys(&one_line(&error));
    tracing::warn!(error, "no token yet; the provider keeps trying");
    Ok(true)
}

/// Applies the settings that can change while the daemon runs. An invalid config changes nothing.
fn reload(
    path: &Path,
    config: &mut Config,
    provider: &TokenProvider,
    work: &watch::Sender<Arc<Work>>,
) {
    let taken_up = load::load(path).and_then(|(new, places)| {
        // The provider keeps the setting of the start.
        if config.job.allow_plain_http_to != new.job.allow_plain_http_to {
            let message = "it is read at the start only; restart the daemon";
            return Err(places.failure("job.allow_plain_http_to", message));
        }
        let work = Work::new(provider, new.job.clone(), &places)?;
        Ok((new, Arc::new(work)))
    });
    let (new, new_work) = match taken_up {
        Ok(taken_up) => taken_up,
        Err(failure) => {
            tracing::error!(%failure, "the configuration is invalid; the previous one stays in use");
            return;
        }
    };
    let restart = config.needs_restart(&new);
    if !restart.is_empty() {
        tracing::warn!(
            sections = restart.join(", "),
            "sections of the configuration have changed; restart the daemon to apply them"
        );
    }
    if config.job == new.job {
        tracing::info!("the job section of the configuration is unchanged");
    } else {
        tracing::info!(url = new.job.url, every = ?new.job.every.0, "applied the job section of the configuration");
        config.job = new.job;
        let _ = work.send(new_work);
    }
}

/// Notifies systemd, if it started the daemon with `Type=notify`.
fn tell_supervisor(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "could not notify the supervisor");
    }
}

#[derive(PartialEq)]
enum Asked {
    Reload,
    Stop,
}

struct Signals {
    hup: Signal,
    int: Signal,
    term: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let watch = |kind| {
            signal(kind).map_err(|error| Failure::Start(format!("cannot watch signals: {error}")))
        };
        Ok(Self {
            hup: watch(SignalKind::hangup())?,
            int: watch(SignalKind::interrupt())?,
            term: watch(SignalKind::terminate())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hup.recv() => Asked::Reload,
            _ = self.int.recv() => Asked::Stop,
            _ = self.term.recv() => Asked::Stop,
        }
    }
}
