//! S7: secrets that nobody holds any more are gone from memory. A process looks through its own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use everbearer::{
    Error, ExchangeResponse, FileStore, Grant, LongTermToken, MemoryStore, Record, Revoked,
    RotationPolicy, SealingKey, ShortTermToken, ShutdownPolicy, TokenIssuer, TokenProvider,
    TokenRef, TokenStore,
};

use crate::support::{millis, secs};

const LENGTH: usize = 48;
/// Needles are kept under this mask, lest they find themselves.
const MASK: u8 = 0x55;

/// The bytes of the secret of this number, each under the mask.
fn masked(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    (0..LENGTH)
        .map(|_| random.alphanumeric() as u8 ^ MASK)
        .collect()
}

/// Shows the secret of this number, and leaves nothing of it behind.
fn with_secret<T>(number: u64, use_it: impl FnOnce(&str) -> T) -> T {
    let mut bytes = masked(number);
    for byte in &mut bytes {
        *byte ^= MASK;
    }
    let text = zeroize::Zeroizing::new(String::from_utf8(bytes).unwrap());
    use_it(&text)
}

/// How often the secret stands in this process's memory.
fn occurrences(number: u64) -> usize {
    let needle = masked(number);
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut buffer = vec![0_u8; 1 << 20];
    let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
    let mut found = 0;
    for map in maps.lines().filter(|map| map.contains(" rw")) {
        let (start, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let address = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let (mut at, end) = (address(start), address(end));
        while at < end {
            let length = buffer.len().min(end - at);
            let read = memory
                .read_at(&mut buffer[..length], at as u64)
                .unwrap_or(0);
            let windows = buffer[..read].windows(LENGTH).enumerate();
            found += windows
                .filter(|(offset, _)| !own.contains(&(at + offset)))
                .filter(|(_, window)| window.iter().zip(&needle).all(|(a, b)| *a == b ^ MASK))
                .count();
            buffer.fill(0);
            // The next piece begins where a secret could have been cut.
            at += if at + length < end {
                length - LENGTH
            } else {
                length
            };
        }
    }
    found
}

/// Short-term tokens are 100, 101 and so on, long-term ones 200, 201 and so on.
#[derive(Debug)]
struct Secretive {
    short_term: AtomicU64,
    long_term: AtomicU64,
}

#[async_trait::async_trait]
impl TokenIssuer for Secretive {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let number = self.short_term.fetch_add(1, Ordering::SeqCst);
        let token = with_secret(number, |text| {
            ShortTermToken::builder(text)
                .token_id(number.to_string())
                .expires_in(secs(1))
                .build()
        });
        token.map(ExchangeResponse::from)
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Gone)
    }

    async fn obtain(&self, _: &Grant, _: Option<&ShortTermToken>) -> Result<LongTermToken, Error> {
        let number = self.long_term.fetch_add(1, Ordering::SeqCst);
        with_secret(number, |text| {
            LongTermToken::builder(text)
                .token_id(number.to_string())
                .build()
        })
    }
}

async fn a_life() {
    let issuer = Secretive {
        short_term: AtomicU64::new(100),
        long_term: AtomicU64::new(200),
    };
    let store = MemoryStore::new();
    let grant = with_secret(1, |text| Grant::client_secret("client", text));
    let provider = TokenProvider::builder(issuer, grant)
        .store(store.clone())
        .rotation_policy(RotationPolicy::default().grace(millis(0)))
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap();
    let token = provider.token().await.unwrap();
    let header = token.authorization().clone();
    // Threads that put the token on requests have copies of it.
    let on_thread = || {
        tokio::spawn({
            let provider = provider.clone();
            async move { provider.authorization().await.map(drop) }
        })
    };
    let before = occurrences(100);
    provider.authorization().await.unwrap();
    on_thread().await.unwrap().unwrap();
    assert!(occurrences(100) > before, "there is no copy");
    // What is held is found: the search works.
    for held in [1, 100, 200] {
        assert!(occurrences(held) > 0, "{held} is not found");
    }
    provider.rotate().await.unwrap();
    provider.refresh().await.unwrap();
    on_thread().await.unwrap().unwrap();
    let handed_in = with_secret(300, |text| LongTermToken::new(text)).unwrap();
    provider.set_long_term_token(handed_in);
    // With a shared store, a superseded token is revoked when what was minted from it has ended.
    tokio::time::sleep(millis(1_500)).await;
    assert!(occurrences(300) > 0);
    // Superseded, revoked, and forgotten.
    for gone in [200, 201] {
        assert_eq!(occurrences(gone), 0, "{gone} is still there");
    }
    provider.shutdown().await;
    // A caller holds on to one of them, and to its header.
    assert!(occurrences(100) > 0);
    drop(token);
    assert!(
        occurrences(100) > 0,
        "the header is a clone of the same bytes"
    );
    drop(header);
    drop((provider, store));
    for gone in [1, 100, 101, 102, 103, 200, 201, 300] {
        assert_eq!(occurrences(gone), 0, "{gone} is still there");
    }

    let record = with_secret(400, |text| Record::from(LongTermToken::new(text).unwrap()));
    let text = record.encode();
    let again = Record::decode(text.expose()).unwrap();
    assert!(occurrences(400) > 0);
    drop((record, text, again));
    assert_eq!(occurrences(400), 0, "a record leaves traces");

    // Nor does a file, sealed or not, that was written and read.
    let directory = tempfile::tempdir().unwrap();
    for (number, key) in [(500, None), (501, Some(SealingKey::new(&[7; 32])))] {
        let path = directory.path().join(number.to_string());
        let store = FileStore::new(&path);
        let store = match key {
            Some(key) => store.sealed_with(key),
            None => store,
        };
        let record = with_secret(number, |text| {
            Record::from(LongTermToken::new(text).unwrap())
        });
        store.store(&record, None).await.unwrap();
        let stored = store.load().await.unwrap().unwrap();
        assert!(occurrences(number) > 0);
        drop((record, stored, store));
        assert_eq!(
            occurrences(number),
            0,
            "the file store leaves traces of {number}"
        );
    }
}

#[test]
fn s7_swapped_out_and_dropped_secrets_are_gone_from_memory() {
    // In a process of its own, whose memory nobody else fills.
    if std::env::var_os("LOOKING").is_none() {
        let name = "zeroizing::s7_swapped_out_and_dropped_secrets_are_gone_from_memory";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("LOOKING", "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&child.stdout);
        assert!(printed.contains("1 passed"), "{child:?}");
        return;
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(a_life());
}
