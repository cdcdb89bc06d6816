//! What is logged is what the guide says: messages, levels, fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    AuthApi, Error, Grant, LongTermToken, ScopePolicy, SecretSource, ShortTermToken,
    TokenIssuer as _, TokenProvider,
};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{BreakableClock, Log, builder, in_a_process_of_its_own, millis, secs};

/// By message: the levels and the fields that were seen.
type Seen = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Fields {
    message: String,
    names: BTreeSet<String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.names.insert(field.name().to_owned());
        }
    }
}

impl Recorder {
    fn note(&self, message: String, metadata: &Metadata<'_>, names: BTreeSet<String>) {
        let mut seen = self.0.lock().unwrap();
        let (levels, fields) = seen.entry(message).or_default();
        levels.insert(metadata.level().to_string());
        fields.extend(names);
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "everbearer"
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let names = attributes.metadata().fields().iter();
        let names = names.map(|field| field.name().to_owned()).collect();
        let message = format!("span {}", attributes.metadata().name());
        self.note(message, attributes.metadata(), names);
        span::Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.note(fields.message, event.metadata(), fields.names);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The guide's table: message, level and fields of each row.
fn documented() -> Seen {
    include_str!("../../src/guide/observation.md")
        .lines()
        .filter(|line| {
            let levels = ["| DEBUG", "| ERROR", "| INFO", "| WARN"];
            levels.iter().any(|level| line.starts_with(level))
        })
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let is_level = |word: &&str| ["DEBUG", "ERROR", "INFO", "WARN"].contains(word);
            let words = cells[1].split([' ', ',', '(']);
            let levels = words.filter(is_level).map(str::to_owned).collect();
            let fields = cells[3]
                .split(", ")
                .map(|it| it.trim_matches('`').to_owned());
            let fields = fields.filter(|it| !it.is_empty()).collect();
            (cells[2].to_owned(), (levels, fields))
        })
        .collect()
}

async fn missing_secret() -> Error {
    let api = AuthApi::new("http://127.0.0.1:9").unwrap();
    let grant = Grant::client_secret("id", SecretSource::file("/there/is/no/such/file"));
    api.obtain(&grant, None).await.unwrap_err()
}

/// Exchanges tokens with contradictory and with doubtful statements about their end, and one token twice.
async fn odd_statements() {
    let issuer = ScriptedIssuer::new();
    let past = SystemTime::UNIX_EPOCH;
    let contradicting = move |name: &str| {
        let token = ShortTermToken::builder(name).expires_in(secs(900));
        token.server_time(past + secs(9)).expires_at(past).build()
    };
    let doubtful = move |name: &str| ShortTermToken::builder(name).expires_at(past).build();
    let same = |_: &str| {
        let token = ShortTermToken::builder("same").expires_in(secs(900));
        token.build()
    };
    issuer.script([Reply::from_fn(contradicting), Reply::from_fn(doubtful)]);
    issuer.default_reply(Reply::from_fn(same));
    let provider = builder(&issuer).name("odd").build().unwrap();
    provider.token().await.unwrap();
    for _ in 0..3 {
        provider.refresh().await.unwrap();
    }
}

/// Lets more revocations hang than are reported one by one.
async fn revocations_that_hang() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations(std::iter::repeat_n(Reply::hang(), 500));
    let provider = builder(&issuer).name("hanging").build().unwrap();
    for _ in 0..110 {
        provider.refresh().await.unwrap();
    }
    provider.shutdown().await;
}

/// Lets an outage last until after the first reminder.
async fn outage() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::error(Error::terminal("down"))]);
    let clock = ManualClock::new();
    let provider = builder(&issuer).name("out").clock(clock.clone());
    let provider = provider.build().unwrap();
    provider.token().await.unwrap_err();
    clock.advance(secs(40)).await;
    provider.token().await.unwrap();
    clock.advance(secs(1)).await;
}

pub(crate) async fn everything_that_can_happen() {
    odd_statements().await;
    outage().await;
    revocations_that_hang().await;

    let issuer = ScriptedIssuer::new();
    let down = Reply::error(Error::transient("down"));
    let missing = Reply::error(missing_secret().await);
    issuer.script([
        Reply::token(secs(900)),
        down.clone(),
        down,
        missing.clone(),
        Reply::token_without_end(),
    ]);
    issuer.script_revocations([Reply::done(), Reply::error(Error::terminal("no"))]);
    issuer.script_long_term([
        Reply::token_without_end(),
        Reply::error(Error::transient("down")),
        Reply::error(Error::transient("down")),
        missing,
    ]);
    let clock = ManualClock::new();
    let breakable = BreakableClock::over(clock.clone());
    let store = SharedMemoryStore::default();
    let grant = Grant::client_secret("id", "secret");
    let provider = TokenProvider::builder(issuer, grant)
        .clock(breakable.clone())
        .store(store.clone())
        .scope_policy(ScopePolicy::default().idle_timeout(secs(60)))
        .build()
        .unwrap();
    let token = provider.token().await.unwrap();
    provider.refresh().await.unwrap_err();
    provider.refresh().await.unwrap_err();
    provider.refresh().await.unwrap_err();
    provider.invalidate(&token).await.unwrap();
    provider.set_long_term_token(
        LongTermToken::builder("another")
            .token_id("x")
            .build()
            .unwrap(),
    );
    provider.rotate().await.unwrap_err();
    provider.rotate().await.unwrap_err();
    provider.rotate().await.unwrap_err();
    provider.rotate().await.unwrap();
    store.hand_in("from-elsewhere").await;
    tokio::time::sleep(secs(1)).await;
    store.jam(true);
    for _ in 0..2 {
        store.hand_in("from-elsewhere").await;
        tokio::time::sleep(secs(1)).await;
    }
    store.jam(false);
    provider.scoped(["a"]).token().await.unwrap();
    clock.advance(secs(100)).await;
    breakable.set_broken(true);
    provider.token().await.unwrap_err();
    clock.advance(secs(40)).await;
    breakable.set_broken(false);
    clock.advance(secs(2)).await;
    provider.shutdown().await;
}

#[test]
fn what_is_logged_is_what_the_guide_says() {
    let name = "observing::what_is_logged_is_what_the_guide_says";
    in_a_process_of_its_own(name, compare_the_log_with_the_guide);
}

fn compare_the_log_with_the_guide() {
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(recorder.clone()).unwrap();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(everything_that_can_happen());

    let mut seen = recorder.0.lock().unwrap().clone();
    for (message, (_, fields)) in &mut seen {
        assert!(fields.remove("provider"), "V1: {message}");
    }
    let exchange = seen.remove("span exchange").unwrap();
    assert_eq!(exchange.1, BTreeSet::from(["scopes".to_owned()]));
    let revocation = seen.remove("span revocation").unwrap();
    assert_eq!(revocation.1, BTreeSet::from(["token_id".to_owned()]));
    let rotation = seen.remove("span rotation").unwrap();
    assert_eq!(rotation.1, BTreeSet::new());
    seen.remove("span watch");
    assert_eq!(seen, documented());
}

#[tokio::test]
async fn v1_each_line_names_the_provider_and_the_root_cause_of_a_failure() {
    let (log, _logging) = Log::capture(tracing::Level::DEBUG);
    // A port at which nothing listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let long_term = LongTermToken::new("long-term").unwrap();
    let provider = TokenProvider::builder(AuthApi::new(url).unwrap(), long_term)
        .name("billing")
        .build()
        .unwrap();
    provider.token().await.unwrap_err();
    provider.shutdown().await;
    let log = log.text();
    let lines = log.lines().filter(|line| line.contains(" everbearer: "));
    assert!(lines.clone().count() >= 4, "{log}");
    for line in lines {
        assert!(line.contains("provider=\"billing\""), "{line}");
    }
    let failure = log.lines().find(|line| line.contains("exchange failed"));
    assert!(failure.unwrap().contains("Connection refused"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn v1_causes_are_on_one_line_and_named_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("the vault is sealed\nsince noon: {0}")]
    struct Sealed(#[source] std::io::Error);

    let (log, _logging) = Log::capture(tracing::Level::INFO);
    let issuer = ScriptedIssuer::new();
    let cause = Sealed(std::io::Error::other("no key"));
    issuer.default_reply(Reply::error(Error::transient(cause)));
    let provider = builder(&issuer).build().unwrap();
    provider.token().await.unwrap_err();
    let log = log.text();
    let expected =
        "error=the token issuer failed: the vault is sealed since noon: no key failures=1";
    assert!(log.contains(expected), "{log}");
}

/// Subscribes to a provider while the swap of its first token is logged, before it is reported.
#[derive(Clone, Default)]
struct SubscribesAtTheSwap {
    provider: Arc<Mutex<Option<TokenProvider>>>,
    subscription: Arc<Mutex<Option<everbearer::Subscription>>>,
}

impl tracing::Subscriber for SubscribesAtTheSwap {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "everbearer"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if event
            .fields()
            .any(|field| field.name() == "previous_left_ms")
            && let Some(provider) = self.provider.lock().unwrap().as_ref()
        {
            let mut subscription = self.subscription.lock().unwrap();
            subscription.get_or_insert_with(|| provider.subscribe());
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn v3_a_subscriber_is_not_told_of_the_swap_of_the_token_in_use() {
    let subscriber = SubscribesAtTheSwap::default();
    let _logging = tracing::subscriber::set_default(subscriber.clone());
    let provider = builder(&ScriptedIssuer::new()).build().unwrap();
    *subscriber.provider.lock().unwrap() = Some(provider.clone());
    provider.token().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let subscription = subscriber.subscription.lock().unwrap().take();
    let mut subscription = subscription.unwrap();
    provider.refresh().await.unwrap();
    loop {
        if let Some(everbearer::Event::Swapped { generation, .. }) = subscription.next().await {
            assert_eq!(generation, 2);
            return;
        }
    }
}

/// An exchange is told of from its beginning to its end before the next one, on however many threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn v3_the_exchanges_of_a_set_are_told_of_one_after_the_other() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)));
    let provider = TokenProvider::builder(issuer, LongTermToken::new("lt").unwrap())
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    // Observers may be told after the callers.
    tokio::time::sleep(millis(100)).await;
    let mut events = provider.subscribe();
    let refreshing: Vec<_> = (0..8)
        .map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    provider.refresh().await.unwrap();
                }
            })
        })
        .collect();
    let order = tokio::spawn(async move {
        let (mut told, mut is_open) = (0, false);
        while let Some(event) = events.next().await {
            match event {
                everbearer::Event::ExchangeBegan { .. } => {
                    assert!(!is_open, "after {told} exchanges");
                    is_open = true;
                }
                everbearer::Event::Swapped { .. } => {
                    assert!(is_open, "after {told} exchanges");
                    (is_open, told) = (false, told + 1);
                }
                everbearer::Event::ShutDown => break,
                _ => {}
            }
        }
        told
    });
    for refreshing in refreshing {
        refreshing.await.unwrap();
    }
    provider.shutdown().await;
    assert!(order.await.unwrap() > 0);
}
