//! The clients, and what they prove themselves with.

use std::collections::{HashMap, HashSet};

use ring::hmac;

use crate::testkit::auth_server::assertion::{self, Expected};
use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::options::ClientKey;
use crate::testkit::auth_server::random::Unguessable;
use crate::testkit::auth_server::refusal::{Reason, Refusal};

pub(crate) struct Clients {
    /// Secrets are kept and compared as tags under this key, so that comparing takes equally long.
    key: hmac::Key,
    secret_tags: HashMap<String, hmac::Tag>,
    public_keys: Vec<ClientKey>,
    audiences: Vec<String>,
    /// Each code with the client it was made for, and whether it was used.
    one_time_codes: HashMap<String, OneTimeCode>,
    used_assertions: HashSet<AssertionId>,
}

struct OneTimeCode {
    client_id: String,
    is_used: bool,
}

#[derive(PartialEq, Eq, Hash)]
pub(super) struct AssertionId {
    client_id: String,
    jti: String,
}

impl Clients {
    /// `audiences` are the names of this server that an assertion may be addressed to.
    pub(crate) fn new(key: hmac::Key, public_keys: Vec<ClientKey>, audiences: Vec<String>) -> Self {
        Self {
            key,
            secret_tags: HashMap::new(),
            public_keys,
            audiences,
            one_time_codes: HashMap::new(),
            used_assertions: HashSet::new(),
        }
    }

    pub(crate) fn register(&mut self, id: &str, secret: &str) {
        let tag = hmac::sign(&self.key, secret.as_bytes());
        self.secret_tags.insert(id.to_owned(), tag);
    }

    pub(super) fn check_known(&self, client_id: &str) -> Result<(), Refusal> {
        if self.secret_tags.contains_key(client_id) {
            Ok(())
        } else {
            Err(invalid_client())
        }
    }

    pub(super) fn check_secret(&self, client_id: &str, secret: &str) -> Result<(), Refusal> {
        self.secret_tags
            .get(client_id)
            .filter(|tag| hmac::verify(&self.key, secret.as_bytes(), tag.as_ref()).is_ok())
            .map(|_| ())
            .ok_or_else(invalid_client)
    }

    pub(super) fn new_one_time_code(
        &mut self,
        client_id: &str,
        random: &mut Unguessable,
    ) -> String {
        loop {
            let code = random.six_digits();
            if !self.one_time_codes.contains_key(&code) {
                let one_time_code = OneTimeCode {
                    client_id: client_id.to_owned(),
                    is_used: false,
                };
                self.one_time_codes.insert(code.clone(), one_time_code);
                return code;
            }
        }
    }

    pub(super) fn check_one_time_code(&self, client_id: &str, code: &str) -> Result<(), Refusal> {
        match self.one_time_codes.get(code) {
            Some(known) if known.is_used => Err(Refusal::invalid_grant(
                "The one-time code has been used already.",
            )),
            Some(known) if known.client_id == client_id => Ok(()),
            _ => Err(Refusal::invalid_grant("The one-time code is not valid.")),
        }
    }

    pub(super) fn use_one_time_code(&mut self, code: &str) {
        if let Some(known) = self.one_time_codes.get_mut(code) {
            known.is_used = true;
        }
    }

    pub(super) fn check_assertion(
        &self,
        client_id: &str,
        assertion: &str,
        now: UnixTime,
    ) -> Result<AssertionId, Refusal> {
        let expected = Expected {
            client_id,
            keys: &self.public_keys,
            audiences: &self.audiences,
            now,
        };
        let id = AssertionId {
            client_id: client_id.to_owned(),
            jti: assertion::check(assertion, &expected)?,
        };
        if self.used_assertions.contains(&id) {
            return Err(Refusal::invalid_grant(
                "The assertion's jti has been used already.",
            ));
        }
        Ok(id)
    }

    pub(super) fn use_assertion(&mut self, id: AssertionId) {
        self.used_assertions.insert(id);
    }
}

fn invalid_client() -> Refusal {
    Refusal::new(
        Reason::InvalidClient,
        "The client credentials are not valid.",
    )
}
