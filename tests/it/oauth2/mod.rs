//! OAuth 2.0 servers: what is sent, what their answers mean, and what a provider makes of it.

mod assertions;
mod discovery;
mod providers;
mod refusals;
mod requests;
mod responses;
mod revoking;
mod same_token;

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use everbearer::{
    ClientAuth, Error, ErrorKind, OAuth2, OAuth2Builder, ShortTermToken, TokenIssuer,
};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const SECRET: &str = "correct:horse+battery%staple é";

/// Answers the requests with one response after the other, and all further ones with the last.
struct InOrder {
    answers: Vec<ResponseTemplate>,
    next: AtomicUsize,
}

impl Respond for InOrder {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let at = self.next.fetch_add(1, Ordering::SeqCst);
        self.answers[at.min(self.answers.len() - 1)].clone()
    }
}

/// A request as the server has received it.
struct Received {
    path: String,
    authorization: Option<String>,
    form: Vec<(String, String)>,
}

impl Received {
    fn of(request: &Request) -> Self {
        let header = request.headers.get("authorization");
        let form = form_urlencoded::parse(&request.body);
        Self {
            path: request.url.path().to_owned(),
            authorization: header.map(|it| it.to_str().unwrap().to_owned()),
            form: form.into_owned().collect(),
        }
    }

    /// The values of all fields of this name.
    fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.form.iter().filter(|(it, _)| it == name);
        fields.map(|(_, value)| value.as_str()).collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The claims of the assertion in this field.
    fn claims(&self, name: &str) -> Value {
        part(self.get(name).unwrap(), 1)
    }
}

/// The header or the claims of a JWT.
fn part(jwt: &str, at: usize) -> Value {
    let part = jwt.split('.').nth(at).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

struct Server(MockServer);

impl Server {
    async fn answering(answers: impl IntoIterator<Item = ResponseTemplate>) -> Self {
        let server = MockServer::start().await;
        let answers = InOrder {
            answers: answers.into_iter().collect(),
            next: AtomicUsize::new(0),
        };
        let mock = Mock::given(any()).respond_with(answers);
        mock.mount(&server).await;
        Self(server)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.uri())
    }

    async fn received(&self) -> Vec<Received> {
        let requests = self.0.received_requests().await.unwrap();
        requests.iter().map(Received::of).collect()
    }

    async fn last(&self) -> Received {
        self.received().await.pop().unwrap()
    }

    fn client(&self) -> OAuth2Builder {
        OAuth2::client_credentials(self.url("/token"), "client:1 é", SECRET)
    }
}

fn json(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

fn token() -> ResponseTemplate {
    json(
        200,
        &json!({"access_token": "opaque-token-1", "token_type": "Bearer", "expires_in": 900}),
    )
}

/// The outcome of an exchange that is answered so.
async fn exchange(answer: ResponseTemplate) -> Result<ShortTermToken, Error> {
    let server = Server::answering([answer]).await;
    let issuer = server.client().build().unwrap();
    let response = issuer.exchange(None, &[]).await?;
    Ok(response.token().clone())
}

async fn refusal(answer: ResponseTemplate) -> Error {
    exchange(answer).await.unwrap_err()
}
