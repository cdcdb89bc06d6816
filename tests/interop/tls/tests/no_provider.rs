//! `AuthApi` in an application that has turned on reqwest's feature `rustls-no-provider`.

use everbearer::{AuthApi, ErrorKind};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

const HTTPS: &str = "https://auth.example.com/v1";

/// A crypto provider is installed for the whole process, so this is one test.
#[test]
fn auth_api_new_returns_an_error_until_a_crypto_provider_is_installed() {
    // reqwest sets up TLS also for a client that connects by plain http.
    for base_url in [HTTPS, "http://127.0.0.1:9/v1"] {
        let error = AuthApi::new(base_url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(!error.is_retryable());
        for remedy in [
            "`rustls-no-provider`",
            "TLS feature of reqwest, such as `rustls`",
            "install a process-wide rustls `CryptoProvider` first",
            "pass a client with `http_client` of the builder",
        ] {
            assert!(error.to_string().contains(remedy), "{remedy}: {error}");
        }
    }

    // A client that has a crypto provider of its own.
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .build()
        .unwrap();
    AuthApi::builder(HTTPS).http_client(client).build().unwrap();

    // A crypto provider for the process.
    default_provider().install_default().unwrap();
    AuthApi::new(HTTPS).unwrap();
}
