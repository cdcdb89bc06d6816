//! Prints the events of the provider.

use std::time::{Duration, Instant};

use everbearer::{Event, ShortTermToken, Subscription, TokenProvider};
use tokio::task::JoinHandle;

#[derive(Clone)]
pub(crate) struct Timeline {
    began: Instant,
}

/// The events that the timeline has shown.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) exchanges: usize,
    pub(crate) exchanges_failed: usize,
    /// The tokens that were in use, of which the last ones may still be valid.
    pub(crate) tokens: Vec<ShortTermToken>,
}

impl Timeline {
    /// Prints events until the provider is shut down. The task returns their counts.
    pub(crate) fn follow(provider: &TokenProvider) -> (Self, JoinHandle<Told>) {
        let timeline = Self {
            began: Instant::now(),
        };
        let printing = timeline.clone();
        let task = tokio::spawn(printing.print(provider.subscribe(), provider.clone()));
        (timeline, task)
    }

    pub(crate) fn note(&self, text: &str) {
        println!("{:>8.3} s  {text}", self.began.elapsed().as_secs_f64());
    }

    async fn print(self, mut events: Subscription, provider: TokenProvider) -> Told {
        let mut told = Told::default();
        while let Some(event) = events.next().await {
            match event {
                Event::LongTermObtained { token_id, .. } => self.note(&format!(
                    "obtained a long-term token, {}",
                    token_id.as_deref().unwrap_or("which has no ID")
                )),
                Event::ExchangeBegan { .. } => match told.tokens.len() {
                    0 => self.note("the first exchange begins"),
                    n => self.note(&format!("an exchange begins; token #{n} stays in use")),
                },
                Event::Swapped {
                    generation,
                    life,
                    took,
                    previous_left,
                    ..
                } => {
                    told.exchanges += 1;
                    told.tokens.extend(provider.current());
                    self.note(&swapped(generation, life, took, previous_left));
                }
                Event::ExchangeFailed { error, .. } => {
                    told.exchanges_failed += 1;
                    self.note(&format!("the exchange failed: {error}"));
                }
                Event::Denied { generation, .. } => {
                    self.note(&format!("token #{generation} was refused with a 401"));
                }
                Event::ShutdownBegan { tokens, .. } => {
                    self.note(&format!("revoking {tokens} tokens"));
                }
                Event::Revocation {
                    token_id, error, ..
                } => {
                    let id = token_id.as_deref().unwrap_or("a token without ID");
                    match error {
                        None => self.note(&format!("revoked {id}")),
                        Some(error) => self.note(&format!("could not revoke {id}: {error}")),
                    }
                }
                Event::ShutDown => break,
                _ => {}
            }
        }
        told
    }
}

fn swapped(generation: u64, life: Duration, took: Duration, left: Option<Duration>) -> String {
    let news = format!("token #{generation} is in use: valid for {life:?}, obtained in {took:.1?}");
    match left {
        None => news,
        Some(left) => format!(
            "{news}; token #{} had {:.2} s left",
            generation - 1,
            left.as_secs_f64()
        ),
    }
}
