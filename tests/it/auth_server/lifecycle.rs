//! Starting and stopping.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use everbearer::testkit::{AuthServer, Endpoint, Fault};

use super::support::Site;

#[test]
fn a_server_can_be_sent_and_shared() {
    fn check<T: Send + Sync + std::fmt::Debug + 'static>() {}
    check::<AuthServer>();
}

#[tokio::test]
async fn its_urls_are_below_its_base_url() {
    let server = AuthServer::start().await.unwrap();

    assert!(server.addr().ip().is_loopback());
    assert_eq!(server.base_url(), format!("http://{}/v1", server.addr()));
    assert_eq!(server.url("/jobs"), format!("{}/jobs", server.base_url()));
}

#[tokio::test]
async fn a_server_on_all_interfaces_is_reached_through_loopback() {
    let addr = "0.0.0.0:0".parse().unwrap();
    let server = AuthServer::builder().addr(addr).start().await.unwrap();

    assert_eq!(
        server.base_url(),
        format!("http://127.0.0.1:{}/v1", server.addr().port())
    );
}

#[tokio::test]
async fn each_server_has_credentials_of_its_own() {
    let (one, two) = (
        AuthServer::start().await.unwrap(),
        AuthServer::start().await.unwrap(),
    );

    assert_ne!(one.client_id(), two.client_id());
    assert_ne!(one.client_secret(), two.client_secret());
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let server = AuthServer::start().await.unwrap();

    let second = AuthServer::builder().addr(server.addr()).start().await;

    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn shutting_down_frees_the_port_and_ends_hanging_requests() {
    let site = Site::start().await;
    let addr = site.server.addr();
    let hanging = hang(&site).await;

    site.server.shutdown().await;

    hanging.await.unwrap().unwrap_err();
    assert_free(addr);
}

#[tokio::test]
async fn dropping_frees_the_port_and_ends_hanging_requests() {
    let site = Site::start().await;
    let addr = site.server.addr();
    let hanging = hang(&site).await;

    drop(site);

    assert_free(addr);
    hanging.await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_from_within_a_multi_thread_runtime_too() {
    let site = Site::start().await;
    let addr = site.server.addr();
    let hanging = hang(&site).await;

    drop(site);

    assert_free(addr);
    hanging.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_up_the_end() {
    let server = AuthServer::start().await.unwrap();
    let _silent = TcpStream::connect(server.addr()).unwrap();

    server.shutdown().await;
}

#[test]
fn a_server_outlives_the_runtime_that_started_it() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let server = runtime().block_on(AuthServer::start()).unwrap();

    let status = runtime().block_on(async {
        let health = reqwest::get(server.url("/health")).await.unwrap();
        health.status()
    });

    assert_eq!(status, 200);
}

#[tokio::test]
async fn starting_that_is_given_up_leaves_nothing_behind() {
    drop(AuthServer::start());
    let starting = AuthServer::start();
    let _ = tokio::time::timeout(Duration::ZERO, starting).await;
}

async fn hang(site: &Site) -> tokio::task::JoinHandle<reqwest::Result<reqwest::Response>> {
    site.server.script(Endpoint::ShortTerm, [Fault::Hang]);
    let hanging = site.spawn_exchange("any");
    site.until_exchanges_in_progress_are(1).await;
    hanging
}

#[track_caller]
fn assert_free(addr: SocketAddr) {
    TcpListener::bind(addr).unwrap();
}
