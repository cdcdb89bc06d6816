//! Requests to the auth server, and what its answers mean.

mod answers;
mod connections;
mod requests;
mod revoking;

use std::sync::{Arc, Mutex};

use everbearer::{AuthApi, Error, LongTermToken};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn long_term() -> LongTermToken {
    LongTermToken::new("lt_0d51e9bd2f6449cf").unwrap()
}

fn answer(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

fn page(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw("<html>sign in</html>", "text/html")
}

fn token() -> ResponseTemplate {
    answer(
        201,
        &json!({"token_type": "Bearer", "access_token": "aaa.bbb.ccc", "expires_in": 900, "token_id": "tok_1"}),
    )
}

async fn server_that_answers(template: ResponseTemplate) -> (MockServer, AuthApi) {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(template)
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    (server, api)
}

async fn exchange_answered(template: ResponseTemplate) -> Result<(), Error> {
    let (_server, api) = server_that_answers(template).await;
    let answer = api.issue_short_term_token(&long_term(), None).await?;
    answer.into_token().map(drop)
}

async fn revocation_answered(template: ResponseTemplate) -> (Result<(), Error>, usize) {
    let (server, api) = server_that_answers(template).await;
    let outcome = api.revoke_token("tok_1", &long_term()).await;
    (outcome, server.received_requests().await.unwrap().len())
}

/// Starts a server that answers each request with the next of these and keeps connections alive. At
/// `None` it closes the connection without an answer. Returns its URL and the requests.
async fn raw_server(answers: Vec<Option<&'static str>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::<Mutex<Vec<String>>>::default();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let log = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&answers), Arc::clone(&log)));
        }
    });
    (address, received)
}

async fn serve(
    mut socket: TcpStream,
    answers: Arc<Mutex<std::vec::IntoIter<Option<&'static str>>>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = socket.read(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        log.lock().unwrap().push(request);
        let Some(Some(answer)) = answers.lock().unwrap().next() else {
            return;
        };
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const TOKEN: &str = "HTTP/1.1 201 Created\r\ncontent-length: 64\r\n\r\n\
                     {\"token_type\":\"Bearer\",\"access_token\":\"a.b.c\",\"expires_in\":900 }";
