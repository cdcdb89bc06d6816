//! Every token that the server has issued: minting, recognising and ending them.

use std::collections::HashMap;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::record::{TokenKind, TokenRecord};
use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::jwt::Signer;
use crate::testkit::auth_server::random::Unguessable;
use crate::testkit::auth_server::refusal::{Reason, Refusal};

pub(crate) struct Tokens {
    issuer: String,
    signer: Signer,
    by_id: HashMap<String, Token>,
    /// Opaque tokens by their SHA-256 digests, so that the server keeps no secret that it can do
    /// without.
    ids_of_opaque: HashMap<Vec<u8>, String>,
}

pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) client_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) expires: UnixTime,
    pub(super) is_revoked: bool,
    pub(super) parent: Option<String>,
    serial: usize,
    issued: UnixTime,
    is_jwt: bool,
    pub(super) served: u64,
    refused: u64,
}

/// What a token is to be like.
pub(super) struct Order {
    pub(super) kind: TokenKind,
    pub(super) is_jwt: bool,
    pub(super) client_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) issued: UnixTime,
    pub(super) expires: UnixTime,
    pub(super) parent: Option<String>,
}

/// A token as its client gets it.
pub(crate) struct Issued {
    pub(crate) text: String,
    pub(crate) token_id: String,
    pub(crate) kind: TokenKind,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: UnixTime,
    pub(crate) expires_in: Duration,
}

impl Tokens {
    /// `issuer` is the `iss` and the `aud` of all JWTs.
    pub(crate) fn new(issuer: String, signer: Signer) -> Self {
        Self {
            issuer,
            signer,
            by_id: HashMap::new(),
            ids_of_opaque: HashMap::new(),
        }
    }

    /// Returns the token's ID and its text.
    pub(super) fn mint(&mut self, order: Order, random: &mut Unguessable) -> (String, String) {
        let prefix = match order.kind {
            TokenKind::LongTerm => "tok_lt_",
            TokenKind::ShortTerm => "tok_st_",
        };
        let id = format!("{prefix}{}", random.hex(16));
        let token = Token {
            kind: order.kind,
            client_id: order.client_id,
            scopes: order.scopes,
            expires: order.expires,
            is_revoked: false,
            parent: order.parent,
            serial: self.by_id.len(),
            issued: order.issued,
            is_jwt: order.is_jwt,
            served: 0,
            refused: 0,
        };
        let text = if token.is_jwt {
            self.signer.sign(&self.claims(&id, &token))
        } else {
            let text = format!("lt_{}", random.hex(48));
            self.ids_of_opaque.insert(digest_of(&text), id.clone());
            text
        };
        self.by_id.insert(id.clone(), token);
        (id, text)
    }

    /// The ID, the text and the end of a short-term token that an earlier exchange of this long-term token has returned
    /// with these scopes, if it lives until then. The text is signed again, which yields the same one.
    pub(super) fn exchanged_before(
        &self,
        long_term_id: &str,
        scopes: &[String],
        until: UnixTime,
    ) -> Option<(String, String, UnixTime)> {
        let is_alike = |token: &Token| {
            token.kind == TokenKind::ShortTerm
                && token.parent.as_deref() == Some(long_term_id)
                && token.scopes == scopes
                && !token.is_revoked
                && token.expires >= until
        };
        let alike = self.by_id.iter().filter(|(_, token)| is_alike(token));
        let (id, token) = alike.max_by_key(|(_, token)| token.serial)?;
        let text = self.signer.sign(&self.claims(id, token));
        Some((id.clone(), text, token.expires))
    }

    /// The ID of a token that this server issued, whether or not it is still good.
    pub(super) fn recognise(&self, text: &str) -> Result<String, Refusal> {
        if let Some(id) = self.ids_of_opaque.get(&digest_of(text)) {
            return Ok(id.clone());
        }
        self.signer
            .verify(text)
            .and_then(|claims| Some(claims.get("jti")?.as_str()?.to_owned()))
            .filter(|id| self.by_id.contains_key(id))
            .ok_or_else(unknown_token)
    }

    /// The token, if a request may be made with it now.
    pub(super) fn usable(&self, id: &str, now: UnixTime) -> Result<&Token, Refusal> {
        let token = self.find(id).ok_or_else(unknown_token)?;
        if token.is_revoked {
            return Err(Refusal::new(
                Reason::RevokedToken,
                "The token has been revoked.",
            ));
        }
        if now >= token.expires {
            return Err(Refusal::new(Reason::ExpiredToken, "The token has expired."));
        }
        if token.is_jwt && now < token.issued {
            return Err(Refusal::invalid_token("The token is not valid yet."));
        }
        Ok(token)
    }

    /// The same, where only one kind of token will do.
    pub(super) fn usable_as(
        &self,
        kind: TokenKind,
        id: &str,
        now: UnixTime,
    ) -> Result<&Token, Refusal> {
        if self.find(id).is_some_and(|token| token.kind != kind) {
            return Err(Refusal::invalid_token(match kind {
                TokenKind::LongTerm => "The token is no long-term token.",
                TokenKind::ShortTerm => "The token is no short-term token.",
            }));
        }
        self.usable(id, now)
    }

    pub(super) fn find(&self, id: &str) -> Option<&Token> {
        self.by_id.get(id)
    }

    /// Whether it was this call that revoked it.
    pub(super) fn revoke(&mut self, id: &str) -> bool {
        self.by_id
            .get_mut(id)
            .is_some_and(|token| !std::mem::replace(&mut token.is_revoked, true))
    }

    pub(super) fn revoke_where(&mut self, is_meant: impl Fn(&str, &Token) -> bool) {
        for (id, token) in &mut self.by_id {
            if is_meant(id, token) {
                token.is_revoked = true;
            }
        }
    }

    pub(super) fn note_use(&mut self, id: &str, was_served: bool) {
        if let Some(token) = self.by_id.get_mut(id) {
            if was_served {
                token.served += 1;
            } else {
                token.refused += 1;
            }
        }
    }

    pub(super) fn record(&self, id: &str) -> Option<TokenRecord> {
        Some(self.find(id)?.to_record(id))
    }

    /// In the order of issue.
    pub(super) fn records(&self) -> Vec<TokenRecord> {
        let mut tokens: Vec<_> = self.by_id.iter().collect();
        tokens.sort_by_key(|(_, token)| token.serial);
        let to_record = |(id, token): (&String, &Token)| token.to_record(id);
        tokens.into_iter().map(to_record).collect()
    }

    fn claims(&self, id: &str, token: &Token) -> serde_json::Value {
        json!({
            "iss": self.issuer,
            "sub": token.client_id,
            "aud": self.issuer,
            "iat": token.issued.to_numeric_date(),
            "nbf": token.issued.to_numeric_date(),
            "exp": token.expires.to_numeric_date(),
            "jti": id,
            "scope": token.scopes.join(" "),
        })
    }
}

impl Token {
    fn to_record(&self, id: &str) -> TokenRecord {
        TokenRecord {
            token_id: id.to_owned(),
            kind: self.kind,
            client_id: self.client_id.clone(),
            scopes: self.scopes.clone(),
            issued_at: self.issued.to_system_time(),
            expires_at: self.expires.to_system_time(),
            revoked: self.is_revoked,
            parent: self.parent.clone(),
            served: self.served,
            refused: self.refused,
        }
    }
}

fn digest_of(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

fn unknown_token() -> Refusal {
    Refusal::invalid_token("The token is not one of this server's.")
}
