//! Asking for the next long-term token.

use std::time::Duration;

use crate::calls::Exchanged;
use crate::engine::exchange_call::note_minted;
use crate::engine::failure::is_refused;
use crate::engine::grants;
use crate::engine::long_term::keeper::{Keeper, dated, retiring};
use crate::engine::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::store::{Record, Rotation};
use crate::token::{LongTermToken, ShortTermToken};

/// What a short-term token needs to obtain a long-term one.
const TOKENS_WRITE: &str = "tokens:write";

/// There is no way to obtain the next token.
pub(in crate::engine) fn no_grant() -> Error {
    Error::own(
        ErrorKind::Config,
        "there is no grant that obtains the next long-term token; set one with \
         TokenProviderBuilder::rotate_with",
    )
}

/// Asks for the next token, and writes it down. To be called with the lease held, so that nobody
/// else does.
pub(in crate::engine) async fn ask(
    shared: &Shared,
    keeper: &mut Keeper,
) -> Result<LongTermToken, Error> {
    grants::check_pause(shared)?;
    let asked = ask_now(shared, keeper).await;
    asked.inspect_err(|error| grants::note_pause(shared, error, None))
}

async fn ask_now(shared: &Shared, keeper: &mut Keeper) -> Result<LongTermToken, Error> {
    let (Some(grant), Some(record)) = (&shared.settings.rotate_with, keeper.record()) else {
        return Err(no_grant());
    };
    let asked_at = shared.wall();
    let present = record.current().clone();
    let token = if grant.is_own_token() {
        let grant = grant.or_scopes(record.current().scopes());
        let (authority, is_old) = match record.rotation.asking_with() {
            Some(authority) => (authority.clone(), true),
            None => (authorize(shared, keeper).await?, false),
        };
        let asked = shared.user_code.ask(&grant, Some(&authority)).await;
        match shared.checked(asked, &[authority.expose()]) {
            Err(error) if is_old && is_refused(&error) => {
                let authority = authorize(shared, keeper).await?;
                let asked = shared.user_code.ask(&grant, Some(&authority)).await;
                shared.checked(asked, &[authority.expose()])?
            }
            outcome => outcome?,
        }
    } else {
        grants::obtain(shared, grant).await?
    };
    shared.check_id(&token, &[present.expose()]);
    keeper.take_handed_in(shared);
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(token);
    };
    if !record.current().reads_like(&present) {
        // It was to follow another one than what has been handed in by now.
        spend(keeper, &mut record);
        record
            .retiring
            .push(retiring(shared, token.clone(), Duration::ZERO));
        keeper.keep_obtained(shared, &token, record).await?;
        return Ok(token);
    }
    let next = dated(shared, token.clone(), asked_at);
    if token.is_same(record.current()) {
        if next.ends_at <= record.current.ends_at {
            return Err(Error::own(
                ErrorKind::Protocol,
                "the auth server returned the long-term token in use instead of a new one",
            ));
        }
        record.current = next;
        spend(keeper, &mut record);
        shared.engine().long_term_changes += 1;
    } else {
        let (_, with) = record.rotation.take();
        record.rotation = Rotation::Proving { next, with };
    }
    keeper.keep_obtained(shared, &token, record).await?;
    Ok(token)
}

/// A short-term token that may obtain a long-term one, written down before it is used: it can
/// ask again if the answer is lost.
async fn authorize(shared: &Shared, keeper: &mut Keeper) -> Result<ShortTermToken, Error> {
    let Some(record) = keeper.record() else {
        return Err(Error::own(
            ErrorKind::Config,
            "there is no long-term token to rotate",
        ));
    };
    let (current, scopes) = (record.current().clone(), [TOKENS_WRITE.to_owned()]);
    let default_lifetime = shared.settings.policies.refresh.default_lifetime;
    let exchange = (shared.user_code).exchange(Some(&current), &scopes, default_lifetime);
    let exchanged = shared.user_code.bounded(exchange).await;
    let Exchanged {
        minted,
        replacement,
        asked_at,
        ..
    } = shared.checked(exchanged, &[current.expose()])?;
    shared.check_id(&minted.token, &[current.expose()]);
    note_minted(shared, &minted);
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(minted.token);
    };
    if let Some(replacement) = replacement {
        record.current = dated(shared, replacement, asked_at);
    }
    record.rotation = Rotation::Asking {
        with: minted.token.clone(),
    };
    keeper.keep(shared, record).await?;
    Ok(minted.token)
}

fn spend(keeper: &mut Keeper, record: &mut Record) {
    keeper.spent.extend(record.rotation.take().1);
}
