//! Connections that break.

use std::sync::{Arc, Mutex};

use everbearer::models::{GrantType, LongTokenRequest};
use everbearer::{AuthApi, ErrorKind, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{NO_CONTENT, TOKEN, long_term, raw_server};
use crate::support::{millis, secs};

#[tokio::test]
async fn e20_a_connection_that_died_while_it_was_idle_costs_no_call() {
    let answers = vec![
        Some(TOKEN),
        None, // closes the connection that was kept, without an answer
        Some(TOKEN),
        None,
        Some(NO_CONTENT),
    ];
    let (url, received) = raw_server(answers).await;
    let api = AuthApi::new(url).unwrap();
    for _ in 0..2 {
        let answer = api.issue_short_term_token(&long_term(), None).await;
        answer.unwrap().into_token().unwrap();
    }
    api.revoke_token("tok_1", &long_term()).await.unwrap();
    assert_eq!(received.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn e20_a_call_is_repeated_once_and_what_is_valid_once_is_not() {
    let (url, received) = raw_server(vec![None; 9]).await;
    let api = AuthApi::new(url).unwrap();
    let error = api
        .issue_short_term_token(&long_term(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(received.lock().unwrap().len(), 2);
    let error = api.revoke_token("tok_1", &long_term()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(received.lock().unwrap().len(), 4);

    let mut grant = LongTokenRequest::new(GrantType::ClientCredentials, "id");
    grant.otp_code = Some(Secret::from("123456"));
    api.issue_long_term_token(&grant, None).await.unwrap_err();
    assert_eq!(
        received.lock().unwrap().len(),
        5,
        "a one-time code went out twice"
    );
}

#[tokio::test]
async fn e20_a_server_that_does_not_answer_is_asked_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = tokio::spawn(async move {
        let mut sockets = Vec::new();
        while let Ok(Ok((socket, _))) = tokio::time::timeout(secs(2), listener.accept()).await {
            sockets.push(socket);
        }
        sockets.len()
    });
    let api = AuthApi::builder(url).timeout(millis(200)).build().unwrap();
    let error = api
        .issue_short_term_token(&long_term(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(accepted.await.unwrap(), 1);
}

#[tokio::test]
async fn e20_a_connection_that_no_call_uses_is_closed_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 16 * 1024];
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        socket.write_all(TOKEN.as_bytes()).await.unwrap();
        // reqwest's own default is 90 s.
        let closed = tokio::time::timeout(secs(10), socket.read(&mut buffer)).await;
        assert_eq!(closed.expect("the connection is kept").unwrap(), 0);
    });
    let api = AuthApi::new(url).unwrap();
    api.issue_short_term_token(&long_term(), None)
        .await
        .unwrap();
    server.await.unwrap();
}

/// Starts a server that answers this many requests on each connection and closes the connection at the next
/// one. Returns its URL and the numbers of the connections that requests came on.
async fn server_that_answers(
    times: usize,
    answer: &'static str,
) -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::<Mutex<Vec<usize>>>::default();
    let log = Arc::clone(&received);
    tokio::spawn(async move {
        for connection in 1.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(1..) = socket.read(&mut buffer).await {
                    let requests = {
                        let mut log = log.lock().unwrap();
                        log.push(connection);
                        log.iter().filter(|it| **it == connection).count()
                    };
                    if requests > times {
                        return;
                    }
                    tokio::time::sleep(millis(100)).await; // the other requests come meanwhile
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, received)
}

#[tokio::test]
async fn e20_a_repeated_call_opens_a_new_connection_though_another_one_is_idle() {
    let (url, received) = server_that_answers(1, TOKEN).await;
    let api = AuthApi::new(url).unwrap();
    let long_term = long_term();
    let exchange = || api.issue_short_term_token(&long_term, None);
    let (first, second) = tokio::join!(exchange(), exchange());
    first.unwrap();
    second.unwrap();
    exchange().await.unwrap();
    let received = received.lock().unwrap();
    assert_eq!(received.len(), 4, "{received:?}");
    assert_eq!(received[3], 3, "{received:?}");
}

#[tokio::test]
async fn d11_concurrent_revocations_reuse_their_connections() {
    let (url, received) = server_that_answers(usize::MAX, NO_CONTENT).await;
    let api = AuthApi::new(url).unwrap();
    let long_term = long_term();
    for _ in 0..5 {
        let revocations = (0..16).map(|_| api.revoke_token("tok_1", &long_term));
        futures_util::future::try_join_all(revocations)
            .await
            .unwrap();
    }
    let received = received.lock().unwrap();
    assert_eq!(received.len(), 80);
    let connections = *received.iter().max().unwrap();
    assert!(connections <= 32, "{connections} connections");
}

#[tokio::test]
async fn e20_a_call_that_a_client_gives_up_is_not_repeated() {
    let (url, received) = raw_server(vec![Some(""); 9]).await;
    let client = reqwest::Client::builder().timeout(millis(200));
    let api = AuthApi::builder(url).http_client(client.build().unwrap());
    let api = api.build().unwrap();
    let error = api.issue_short_term_token(&long_term(), None).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(received.lock().unwrap().len(), 1);
}
