//! The search for tokens and client secrets in what is logged and in errors.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::io::{self, Write};
use std::iter::successors;
use std::sync::{Arc, Mutex, Once};

use everbearer::{
    AuthApi, Error, ExchangeResponse, Grant, IssuerProfile, LongTermToken, Revoked, ShortTermToken,
    TokenIssuer, TokenRef, async_trait,
};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::lock;

/// A text leaks a secret that has one of its parts of this length in common with it.
const PART: usize = 10;
/// Of a text, only each sixth part is searched for, which finds 15 consecutive bytes of a secret.
const STEP: usize = 6;

/// Everything that this process has logged.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The secrets of a site.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    texts: HashSet<String>,
    /// The IDs of the short-term tokens, by the tokens.
    ids: HashMap<String, String>,
}

impl Secrets {
    pub fn add(&self, text: &str) {
        lock(&self.0).texts.insert(text.to_owned());
    }

    fn add_short_term(&self, token: &ShortTermToken) {
        // All tokens have the same header.
        let (_header, rest) = token.expose().split_once('.').unwrap();
        self.add(rest);
        let id = token.token_id().unwrap().to_owned();
        lock(&self.0).ids.insert(token.expose().to_owned(), id);
    }

    /// Returns the ID of a short-term token.
    pub fn id_of(&self, token: &str) -> Option<String> {
        lock(&self.0).ids.get(token).cloned()
    }

    /// Checks that an error and its sources contain no secret.
    pub fn are_not_in(&self, error: &(dyn StdError + 'static)) {
        let chain = successors(Some(error), |&error| error.source());
        let texts: Vec<_> = chain.map(|it| format!("{it} {it:?} {it:#?}")).collect();
        assert_eq!(self.leak_in(&texts), None);
    }

    /// Checks that nothing that this process has logged, at any level, contains a secret, and that these crates have
    /// logged something. Lines of the targets in `except` are not searched.
    pub fn are_not_logged(&self, crates: &[&str], except: &[&str]) {
        let log = lock(&LOG).clone();
        let log = String::from_utf8_lossy(&log);
        let is_of = |line: &str, target: &str| line.contains(&format!(" {target}"));
        for name in crates {
            assert!(log.lines().any(|it| is_of(it, name)), "no line of {name}");
        }
        let searched = log.lines();
        let searched = searched.filter(|line| !except.iter().any(|it| is_of(line, it)));
        assert_eq!(self.leak_in(&searched.collect::<Vec<_>>()), None);
    }

    /// Returns the first text that contains a part of a secret.
    fn leak_in(&self, texts: &[impl AsRef<str>]) -> Option<String> {
        let known = lock(&self.0);
        let parts = known
            .texts
            .iter()
            .flat_map(|it| it.as_bytes().windows(PART));
        let parts: HashSet<_> = parts.collect();
        assert!(!known.ids.is_empty(), "no token was recorded");
        let is_leak = |text: &&str| {
            let mut some = text.as_bytes().windows(PART).step_by(STEP);
            some.any(|it| parts.contains(it))
        };
        let found = texts.iter().map(AsRef::as_ref).find(is_leak);
        found.map(str::to_owned)
    }
}

/// Uses the auth server, and records the tokens.
#[derive(Clone)]
pub struct Recorder {
    pub api: AuthApi,
    pub secrets: Secrets,
}

#[async_trait]
impl TokenIssuer for Recorder {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let response = self.api.exchange(long_term, scopes).await?;
        self.secrets.add_short_term(response.token());
        Ok(response)
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        self.api.revoke(token, authority).await
    }

    async fn obtain(
        &self,
        grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let token = self.api.obtain(grant, authority).await?;
        self.secrets.add(token.expose());
        Ok(token)
    }

    fn profile(&self) -> IssuerProfile {
        self.api.profile()
    }
}

/// Records from now on what is logged in this process, through `tracing` or `log`.
pub fn record_log() {
    struct Writer;

    impl Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&LOG).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .without_time()
            .with_writer(|| Writer)
            .init();
    });
}
