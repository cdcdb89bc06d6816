//! The auth server: in process where a rival takes a source of the user's, over HTTP on loopback
//! where it insists on that. It counts what it mints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A clone mints from the same place.
#[derive(Clone, Debug)]
pub(crate) struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    life: Duration,
    delay: Duration,
    minted: AtomicU64,
}

/// What one exchange brings.
#[derive(Clone, Debug)]
pub(crate) struct Minted {
    /// A JWT of about 1.2 KB, with `exp`.
    pub(crate) token: String,
    pub(crate) life: Duration,
    pub(crate) ends_at: SystemTime,
}

impl Source {
    /// Tokens that live so long, each minted after this delay.
    pub(crate) fn new(life: Duration, delay: Duration) -> Self {
        Self(Arc::new(Inner {
            life,
            delay,
            minted: AtomicU64::new(0),
        }))
    }

    pub(crate) fn minted(&self) -> u64 {
        self.0.minted.load(Ordering::Relaxed)
    }

    /// How long its tokens live: for rivals that want to be told before the first one.
    pub(crate) fn life(&self) -> Duration {
        self.0.life
    }

    /// One exchange.
    pub(crate) async fn mint(&self) -> Minted {
        let number = self.0.minted.fetch_add(1, Ordering::Relaxed);
        if !self.0.delay.is_zero() {
            tokio::time::sleep(self.0.delay).await;
        }
        let ends_at = SystemTime::now() + self.0.life;
        let ends = ends_at.duration_since(UNIX_EPOCH).unwrap();
        let claims = json!({
            "iss": "https://auth.example", "sub": "peers", "aud": "https://api.example",
            "jti": number, "exp": ends.as_secs(),
            "ends_ms": ends.as_millis() as u64, "roles": "reader ".repeat(72),
        });
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let header = encode(br#"{"alg":"RS256","typ":"JWT"}"#);
        let claims = encode(claims.to_string().as_bytes());
        let signature = encode(&[7; 256]);
        Minted {
            token: format!("{header}.{claims}.{signature}"),
            life: self.0.life,
            ends_at,
        }
    }

    /// A token endpoint on loopback that answers with `mint()`: RFC 6749's JSON (`access_token`,
    /// `expires_in`, `token_type`), at any path and method.
    pub(crate) async fn url(&self) -> String {
        let source = self.clone();
        let app = Router::new().fallback(move || {
            let source = source.clone();
            async move { Json(answer(&source.mint().await)) }
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        format!("http://{address}")
    }
}

/// The JSON of a token endpoint.
pub(crate) fn answer(minted: &Minted) -> Value {
    json!({
        "access_token": minted.token,
        "expires_in": minted.life.as_secs(),
        "token_type": "Bearer",
    })
}
