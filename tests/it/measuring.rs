//! What is measured is what the guide says: names, kinds, units, labels and descriptions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use everbearer::testkit::{AuthServer, ManualClock, Reply, ScriptedIssuer};
use everbearer::{Error, LongTermToken, RequestBuilderExt, ScopePolicy, TokenProvider};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use metrics_util::{CompositeKey, MetricKind};

use crate::observing::everything_that_can_happen;
use crate::support::{provider, provider_at, secs, settle};

/// By name: kind, unit, labels and description.
type Measured = BTreeMap<String, [String; 4]>;

/// The guide's table of metrics.
fn documented_metrics() -> Measured {
    include_str!("../../src/guide/observation.md")
        .lines()
        .filter(|line| line.starts_with("| `everbearer_"))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let name = cells[1].trim_matches('`').to_owned();
            let labels = cells[4].replace('`', "");
            let [kind, unit, text] = [2, 3, 5].map(|cell: usize| cells[cell].to_owned());
            (name, [kind, unit, labels, text])
        })
        .collect()
}

async fn a_request_is_sent_again() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).name("real").build().unwrap();
    provider.ready().await.unwrap();
    server.revoke_all_short_term();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(server.url("/jobs"));
    assert_eq!(request.send_with(&provider).await.unwrap().status(), 200);
    provider.shutdown().await;
}

fn runtime(paused: bool) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .unwrap()
}

#[test]
fn what_is_measured_is_what_the_guide_says() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        runtime(true).block_on(everything_that_can_happen());
        runtime(false).block_on(a_request_is_sent_again());
    });
    let snapshot = snapshotter.snapshot().into_vec();

    let mut measured = Measured::new();
    for (key, unit, text, _) in &snapshot {
        let kind = format!("{:?}", key.kind()).to_lowercase();
        let labels: Vec<&str> = key.key().labels().map(metrics::Label::key).collect();
        let unit = unit.unwrap().as_str().to_owned();
        let text = text.as_ref().unwrap().to_string();
        let row = [kind, unit, labels.join(", "), text];
        let earlier = measured.insert(key.key().name().to_owned(), row.clone());
        assert!(earlier.is_none_or(|earlier| earlier == row));
    }
    assert_eq!(measured, documented_metrics());

    let value = |name: &str, labels: &[(&'static str, &'static str)]| {
        let labels: Vec<_> = labels.iter().map(metrics::Label::from).collect();
        let key = metrics::Key::from_parts(name.to_owned(), labels);
        let found = snapshot.iter().find(|(it, ..)| *it.key() == key);
        match &found.unwrap_or_else(|| panic!("no {key}")).3 {
            DebugValue::Counter(count) => *count as f64,
            DebugValue::Gauge(value) => value.0,
            DebugValue::Histogram(values) => values.len() as f64,
        }
    };
    let lane = [("provider", "default"), ("scopes", "")];
    let real = [("provider", "real"), ("scopes", "")];
    let out = [("provider", "out"), ("scopes", "")];
    assert_eq!(value("everbearer_outages_total", &out), 1.0);
    assert_eq!(value("everbearer_in_outage", &out), 0.0);
    assert_eq!(value("everbearer_outages_total", &real), 0.0);
    let down = [lane[0], lane[1], ("outcome", "issuer")];
    assert_eq!(value("everbearer_exchanges_total", &down), 2.0);
    assert_eq!(value("everbearer_denials_total", &lane), 1.0);
    assert_eq!(value("everbearer_resends_total", &lane), 0.0);
    assert_eq!(value("everbearer_resends_total", &real), 1.0);
    assert_eq!(value("everbearer_waiting_callers", &lane), 0.0);
    assert_eq!(value("everbearer_waiting_callers", &real), 0.0);
    assert_eq!(value("everbearer_exchange_duration_seconds", &real), 2.0);
    // The shutdown has withdrawn the token; the narrower set was retired before.
    assert_eq!(value("everbearer_token_expires_in_seconds", &real), 0.0);
    let retired = [lane[0], ("scopes", "a")];
    assert!(value("everbearer_token_expires_in_seconds", &retired).is_nan());
}

#[test]
fn the_number_of_series_is_bounded() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        runtime(true).block_on(async {
            let issuer = ScriptedIssuer::new();
            let clock = ManualClock::new();
            let provider = TokenProvider::builder(issuer, LongTermToken::new("x").unwrap())
                .clock(clock.clone())
                .scope_policy(ScopePolicy::default().max_sets(2).idle_timeout(secs(60)))
                .build()
                .unwrap();
            for scope in ["a", "b", "c", "d", "e"] {
                provider.scoped([scope]).token().await.unwrap();
                clock.advance(secs(100)).await;
            }
        });
    });
    let scopes = |(key, ..): &(CompositeKey, _, _, _)| {
        let mut labels = key.key().labels();
        let scopes = labels.find(|label| label.key() == "scopes")?;
        Some((key.kind() == MetricKind::Gauge, scopes.value().to_owned()))
    };
    let seen: BTreeSet<_> = snapshotter
        .snapshot()
        .into_vec()
        .iter()
        .filter_map(scopes)
        .collect();
    let labels: BTreeSet<&str> = seen.iter().map(|(_, scopes)| scopes.as_str()).collect();
    assert_eq!(labels, BTreeSet::from(["", "a", "b", "other"]));
}

/// Counts how often anybody asks for a metric.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl Asked {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn again(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl metrics::Recorder for Asked {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.again();
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.again();
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.again();
        Histogram::noop()
    }
}

#[test]
fn a_caller_with_a_good_token_touches_no_metric() {
    let asked = Asked::default();
    metrics::with_local_recorder(&asked, || {
        runtime(true).block_on(async {
            let (provider, _clock) = provider(&ScriptedIssuer::new());
            provider.ready().await.unwrap();
            settle().await;
            let before = asked.count();
            assert!(before > 0);
            for _ in 0..1_000 {
                provider.token().await.unwrap();
                provider.authorization().await.unwrap();
            }
            settle().await;
            assert_eq!(asked.count(), before);
        });
    });
}

#[test]
fn an_exchange_measures_no_other_set_of_scopes() {
    let asked_by_a_refresh_beside = |others: usize| {
        let asked = Asked::default();
        metrics::with_local_recorder(&asked, || {
            runtime(true).block_on(async {
                let (provider, _clock) = provider(&ScriptedIssuer::new());
                let mut sets = Vec::new();
                for scope in 0..others {
                    let set = provider.scoped([format!("scope-{scope}")]);
                    set.ready().await.unwrap();
                    sets.push(set);
                }
                provider.ready().await.unwrap();
                settle().await;
                let before = asked.count();
                provider.refresh().await.unwrap();
                settle().await;
                asked.count() - before
            })
        })
    };
    let alone = asked_by_a_refresh_beside(0);
    assert!(alone > 0);
    assert_eq!(asked_by_a_refresh_beside(50), alone);
}

/// What these gauges of the set `a` say, if they were set since this was last asked.
fn gauges<const N: usize>(snapshotter: &Snapshotter, names: [&'static str; N]) -> [f64; N] {
    let snapshot = snapshotter.snapshot().into_vec();
    names.map(|name| {
        let labels = [("provider", "default"), ("scopes", "a")];
        let labels: Vec<_> = labels.iter().map(metrics::Label::from).collect();
        let key = metrics::Key::from_parts(name, labels);
        let found = snapshot.iter().find(|(it, ..)| *it.key() == key);
        match &found.unwrap_or_else(|| panic!("no {key}")).3 {
            DebugValue::Gauge(value) => value.0,
            other => panic!("{key} is {other:?}"),
        }
    })
}

#[test]
fn v2_an_outage_is_measured_until_it_ends_or_its_scope_set_is_retired() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        runtime(true).block_on(async {
            let issuer = ScriptedIssuer::new();
            let (provider, clock) = provider(&issuer);
            provider.ready().await.unwrap();
            let in_outage = || gauges(&snapshotter, ["everbearer_in_outage"])[0];
            let set = provider.scoped(["a"]);
            issuer.script([Reply::error(Error::terminal("down"))]);
            set.token().await.unwrap_err();
            settle().await;
            assert_eq!(in_outage(), 1.0);
            clock.advance(secs(31)).await;
            set.token().await.unwrap();
            settle().await;
            assert_eq!(in_outage(), 0.0);

            clock.advance(secs(3600)).await;
            settle().await;
            issuer.script([Reply::error(Error::terminal("down"))]);
            set.token().await.unwrap_err();
            settle().await;
            assert_eq!(in_outage(), 1.0);
            clock.advance(secs(3600)).await;
            settle().await;
            assert_eq!(in_outage(), 0.0, "the set was retired");
        });
    });
}

#[test]
fn a_set_of_scopes_is_measured_when_something_happens_to_it_and_as_time_goes_by() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        runtime(true).block_on(async {
            let issuer = ScriptedIssuer::new();
            let (provider, clock) = provider(&issuer);
            provider.ready().await.unwrap();
            let set = provider.scoped(["a"]);
            set.ready().await.unwrap();
            settle().await;
            let names = [
                "everbearer_token_generation",
                "everbearer_token_expires_in_seconds",
            ];
            let [generation, new] = gauges(&snapshotter, names);
            assert_eq!(generation, 2.0);

            clock.advance(secs(31)).await;
            settle().await;
            let [generation, older] = gauges(&snapshotter, names);
            assert_eq!(generation, 2.0);
            assert!(older < new - 1.0, "{older} after {new}");

            issuer.default_reply(Reply::error(Error::transient("down")));
            set.refresh().await.unwrap_err();
            settle().await;
            let names = [
                "everbearer_consecutive_failures",
                "everbearer_backoff_seconds",
            ];
            let [failures, until_the_refresh] = gauges(&snapshotter, names);
            assert_eq!(failures, 1.0);

            // With somebody who asks, the pause is all there is to wait for.
            let asking = tokio::spawn(async move { set.refresh().await });
            settle().await;
            let [failures, pause] = gauges(&snapshotter, names);
            assert_eq!(failures, 1.0);
            assert!(
                pause < until_the_refresh / 2.0,
                "{pause} after {until_the_refresh}"
            );
            assert!(asking.await.unwrap().is_err());
        });
    });
}

#[test]
fn the_metrics_of_many_tenants_share_their_labels() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        runtime(true).block_on(async {
            let tenants = everbearer::TokenProviders::new((), |(), key: u32| async move {
                let issuer = ScriptedIssuer::new();
                issuer.default_reply(Reply::token(secs(900)));
                let builder = TokenProvider::builder(issuer, LongTermToken::new("long-term")?);
                Ok(builder.name(key.to_string()))
            });
            let tenants = tenants.name("customers");
            for key in 0..50 {
                let provider = tenants.get(&key).await.unwrap();
                provider.token().await.unwrap();
                let scoped = provider.scoped([format!("jobs-of-{key}")]);
                scoped.token().await.unwrap();
            }
            tokio::time::sleep(secs(60)).await;
            tenants.shutdown().await;
        });
    });
    let snapshot = snapshotter.snapshot().into_vec();
    assert!((5..20).contains(&snapshot.len()), "{}", snapshot.len());
    for (key, _, _, value) in snapshot {
        let labels: Vec<String> = key.key().labels().map(|it| it.value().to_owned()).collect();
        assert_eq!(labels[0], "customers");
        if let Some(scopes) = labels.get(1) {
            assert!(!scopes.contains("jobs"), "{labels:?}");
        }
        // The number of waiting callers is a sum; other gauges would overwrite each other.
        let is_sum = key.key().name() == "everbearer_waiting_callers";
        assert!(key.kind() != MetricKind::Gauge || is_sum, "{key:?}");
        if key.key().name() == "everbearer_exchanges_total" {
            assert_eq!(value, DebugValue::Counter(100));
        }
    }
}
