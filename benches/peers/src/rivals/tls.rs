//! google-cloud-auth builds reqwest with rustls and without a crypto provider. A client of such a
//! reqwest wants one even for plain HTTP.

pub(crate) fn provide() {
    // Fails when another rival has done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
