//! An issuer in memory that follows a script.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::reply::{Outcome, Reply, failed};
use crate::error::Error;
use crate::issuer::{ExchangeResponse, Grant, IssuerProfile, Needs, Revoked, TokenIssuer};
use crate::token::{LongTermToken, ShortTermToken, TokenBuilder, TokenRef};

/// Issues and revokes tokens without a network: it answers calls as its script says, and records them.
///
/// Its short-term tokens are opaque: `st-1`, `st-2` and so on, which are also their IDs, unless
/// [`Reply::from_fn`] makes another token. Its long-term tokens are `lt-1`, `lt-2` and so on. A clone is
/// another handle to the same issuer.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
/// use everbearer::{Error, LongTermToken, TokenProvider};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Error> {
/// let issuer = ScriptedIssuer::new();
/// issuer.script([
///     Reply::error(Error::transient("down for a moment")),
///     Reply::token(Duration::from_secs(60)).after(Duration::from_millis(20)),
/// ]);
/// let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?)
///     .clock(ManualClock::new())
///     .build()?;
/// assert!(provider.token().await.is_err());
/// assert_eq!(provider.token().await?.expose(), "st-1");
/// assert_eq!(issuer.exchanges(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ScriptedIssuer {
    state: Arc<Mutex<State>>,
    short_term: Arc<Mutex<ShortTerm>>,
}

/// The short-term tokens so far. They are locked while a token is made, so that two exchanges cannot use
/// the same name. `State` is not locked meanwhile, so that a closure may use the issuer.
#[derive(Debug, Default)]
struct ShortTerm {
    minted: usize,
    last: Option<ShortTermToken>,
}

#[derive(Debug)]
struct State {
    exchanges: VecDeque<Reply>,
    default_reply: Reply,
    revocations: VecDeque<Reply>,
    long_term: VecDeque<Reply>,
    profile: IssuerProfile,
    begun: usize,
    long_term_minted: usize,
    obtained: usize,
    rotated: usize,
    under_way: usize,
    most_at_once: usize,
    asked_scopes: Vec<Vec<String>>,
    exchanged: Vec<String>,
    revoked: Vec<String>,
    authorities: Vec<Option<String>>,
    /// Why revocations were refused, by the ID of the token.
    refused: HashMap<String, Error>,
}

impl ScriptedIssuer {
    /// Creates an issuer that answers every exchange at once with a token of 15 minutes, and every revocation
    /// with a success.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::ScriptedIssuer;
    ///
    /// let issuer = ScriptedIssuer::new();
    /// assert_eq!(issuer.exchanges(), 0);
    /// ```
    #[allow(
        clippy::new_without_default,
        reason = "a default issuer says nothing to a reader of a test"
    )]
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                exchanges: VecDeque::new(),
                default_reply: Reply::token(Duration::from_secs(900)),
                revocations: VecDeque::new(),
                long_term: VecDeque::new(),
                profile: IssuerProfile::new("ScriptedIssuer"),
                begun: 0,
                long_term_minted: 0,
                obtained: 0,
                rotated: 0,
                exchanged: Vec::new(),
                under_way: 0,
                most_at_once: 0,
                asked_scopes: Vec::new(),
                revoked: Vec::new(),
                authorities: Vec::new(),
                refused: HashMap::new(),
            })),
            short_term: Arc::default(),
        }
    }

    /// Appends replies to the script of exchanges, one for each exchange.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// use std::time::Duration;
    ///
    /// issuer.script([
    ///     Reply::error(Error::transient("down for a moment")),
    ///     Reply::token(Duration::from_secs(60)),
    /// ]);
    /// assert!(provider.token().await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn script(&self, answers: impl IntoIterator<Item = Reply>) {
        self.state().exchanges.extend(answers);
    }

    /// Sets the reply to every exchange after the script has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// use std::time::Duration;
    ///
    /// issuer.default_reply(Reply::token(Duration::from_secs(60)));
    /// provider.ready().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn default_reply(&self, answer: Reply) {
        self.state().default_reply = answer;
    }

    /// Appends replies to the script of revocations, one for each revocation. After an error that is not
    /// retryable, the issuer refuses all further revocations of the same token, with any authority.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// issuer.script_revocations([Reply::error(Error::terminal("not allowed"))]);
    /// provider.ready().await?;
    /// assert!(!provider.shutdown().await.all_revoked());
    /// # Ok(())
    /// # }
    /// ```
    pub fn script_revocations(&self, answers: impl IntoIterator<Item = Reply>) {
        self.state().revocations.extend(answers);
    }

    /// Appends replies to the script of calls that obtain a long-term token, one for each call. The issuer
    /// answers all other such calls with a token whose expiry is not stated.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::testkit::{Reply, ScriptedIssuer};
    /// use everbearer::{Grant, TokenProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let issuer = ScriptedIssuer::new();
    /// issuer.script_long_term([Reply::token(Duration::from_secs(30 * 24 * 60 * 60))]);
    /// let grant = Grant::client_secret("client_abc123", "correct-horse");
    /// let provider = TokenProvider::builder(issuer, grant).build()?;
    /// provider.ready().await?;
    /// assert!(provider.status().long_term.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn script_long_term(&self, answers: impl IntoIterator<Item = Reply>) {
        self.state().long_term.extend(answers);
    }

    /// Sets the profile. Call it before the provider is built, which reads the profile once.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{Credential, IssuerProfile, Needs, TokenProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let issuer = ScriptedIssuer::new();
    /// issuer.set_profile(IssuerProfile::new("client credentials").needs(Needs::Nothing));
    /// let provider = TokenProvider::builder(issuer, Credential::None).build()?;
    /// provider.ready().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_profile(&self, profile: IssuerProfile) {
        self.state().profile = profile;
    }

    /// Sets a profile by which every exchange also returns a long-term token that replaces the exchanged one.
    /// Call it before the provider is built.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{LongTermToken, TokenProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let issuer = ScriptedIssuer::new();
    /// issuer.replace_long_term();
    /// let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// provider.token().await?;
    /// provider.refresh().await?;
    /// assert_eq!(issuer.exchanged(), ["secret", "lt-1"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace_long_term(&self) {
        self.set_profile(IssuerProfile::new("ScriptedIssuer").needs(Needs::Replacing));
    }

    /// Returns how many exchanges have begun.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// provider.ready().await?;
    /// assert_eq!(issuer.exchanges(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn exchanges(&self) -> usize {
        self.state().begun
    }

    /// Returns how many long-term tokens were obtained with a grant.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{Grant, TokenProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let issuer = ScriptedIssuer::new();
    /// let grant = Grant::client_secret("client_abc123", "correct-horse");
    /// TokenProvider::builder(issuer.clone(), grant).build()?.ready().await?;
    /// assert_eq!(issuer.obtained(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn obtained(&self) -> usize {
        self.state().obtained
    }

    /// Returns how many long-term tokens were obtained with the authority of a short-term token.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{Grant, LongTermToken, TokenProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let issuer = ScriptedIssuer::new();
    /// let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?)
    ///     .rotate_with(Grant::self_rotation("client_abc123"))
    ///     .build()?;
    /// provider.rotate().await?;
    /// assert_eq!(issuer.rotated(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rotated(&self) -> usize {
        self.state().rotated
    }

    /// Returns the long-term tokens that were exchanged, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// provider.ready().await?;
    /// assert_eq!(issuer.exchanged(), ["secret"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn exchanged(&self) -> Vec<String> {
        self.state().exchanged.clone()
    }

    /// Returns the highest number of exchanges that were in flight at the same time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// let (first, second) = tokio::join!(provider.token(), provider.token());
    /// assert!(first.is_ok() && second.is_ok());
    /// assert_eq!(issuer.most_at_once(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// Returns the scopes that each exchange requested, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// provider.scoped(["jobs:read"]).token().await?;
    /// assert!(issuer.asked_scopes().contains(&vec!["jobs:read".to_owned()]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn asked_scopes(&self) -> Vec<Vec<String>> {
        self.state().asked_scopes.clone()
    }

    /// Returns the IDs of the revoked tokens, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// provider.ready().await?;
    /// provider.shutdown().await;
    /// assert_eq!(issuer.revoked(), ["st-1"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn revoked(&self) -> Vec<String> {
        self.state().revoked.clone()
    }

    /// Returns the authority of each call of `revoke`, in order: the text of another token, or `None` if the
    /// token itself was the authority.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// provider.ready().await?;
    /// provider.shutdown().await;
    /// assert_eq!(issuer.authorities(), [None]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn authorities(&self) -> Vec<Option<String>> {
        self.state().authorities.clone()
    }

    async fn long_term(&self) -> Result<LongTermToken, Error> {
        let answer = self.state().long_term.pop_front();
        let answer = answer.unwrap_or_else(Reply::token_without_end);
        tokio::time::sleep(answer.latency).await;
        match answer.outcome {
            Outcome::Token { life } => self.next_long_term(life),
            other => Err(failed(other).await),
        }
    }

    fn next_short_term(
        &self,
        make: impl FnOnce(&str) -> Result<ShortTermToken, Error>,
    ) -> Result<ShortTermToken, Error> {
        let short_term = self.short_term.lock();
        let mut short_term = short_term.unwrap_or_else(PoisonError::into_inner);
        let name = format!("st-{}", short_term.minted + 1);
        let token = make(&name)?;
        let last = short_term.last.replace(token.clone());
        let is_last = last.is_some_and(|last| last.expose() == token.expose());
        if !is_last || token.expose() == name {
            short_term.minted += 1;
        }
        Ok(token)
    }

    fn next_long_term(&self, life: Option<Duration>) -> Result<LongTermToken, Error> {
        let name = {
            let mut state = self.state();
            state.long_term_minted += 1;
            format!("lt-{}", state.long_term_minted)
        };
        living(LongTermToken::builder(&name).token_id(&name), life).build()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn living<T>(token: TokenBuilder<T>, life: Option<Duration>) -> TokenBuilder<T> {
    match life {
        Some(life) => token.expires_in(life),
        None => token,
    }
}

impl State {
    fn begin_exchange(&mut self, long_term: Option<&LongTermToken>, scopes: &[String]) -> Reply {
        self.begun += 1;
        let exchanged = long_term.map(LongTermToken::expose).unwrap_or_default();
        self.exchanged.push(exchanged.to_owned());
        self.under_way += 1;
        self.most_at_once = self.most_at_once.max(self.under_way);
        self.asked_scopes.push(scopes.to_vec());
        let default_reply = &self.default_reply;
        self.exchanges
            .pop_front()
            .unwrap_or_else(|| default_reply.clone())
    }
}

#[async_trait]
impl TokenIssuer for ScriptedIssuer {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let answer = self.state().begin_exchange(long_term, scopes);
        let _under_way = UnderWay(self);
        tokio::time::sleep(answer.latency).await;
        let token = match answer.outcome {
            Outcome::Token { life } => self.next_short_term(|name| {
                let token = ShortTermToken::builder(name).token_id(name).scopes(scopes);
                living(token, life).build()
            })?,
            Outcome::FromFn(make) => self.next_short_term(&*make.0)?,
            other => return Err(failed(other).await),
        };
        let exchanged = ExchangeResponse::from(token);
        if self.state().profile.needs != Needs::Replacing {
            return Ok(exchanged);
        }
        Ok(exchanged.replacing(self.next_long_term(None)?))
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let id = token.token_id().unwrap_or_default();
        let authority = authority.map(|authority| authority.expose().to_owned());
        self.state().authorities.push(authority);
        if let Some(error) = self.state().refused.get(id) {
            return Err(error.clone());
        }
        let answer = self.state().revocations.pop_front();
        let answer = answer.unwrap_or_else(Reply::done);
        tokio::time::sleep(answer.latency).await;
        match answer.outcome {
            Outcome::Revoked(revoked) => {
                if revoked == Revoked::Gone {
                    self.state().revoked.push(id.to_owned());
                }
                Ok(revoked)
            }
            other => {
                let error = failed(other).await;
                if !error.is_retryable() {
                    self.state().refused.insert(id.to_owned(), error.clone());
                }
                Err(error)
            }
        }
    }

    async fn obtain(
        &self,
        _grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let token = self.long_term().await?;
        match authority {
            Some(_) => self.state().rotated += 1,
            None => self.state().obtained += 1,
        }
        Ok(token)
    }

    fn profile(&self) -> IssuerProfile {
        self.state().profile.clone()
    }
}

/// Counts an exchange as under way until it ends or is dropped.
struct UnderWay<'a>(&'a ScriptedIssuer);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}
