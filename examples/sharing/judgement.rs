//! The counts of a run, and whether they are right.

use std::collections::BTreeSet;
use std::fmt::Display;

use everbearer::testkit::{AuthServer, TokenKind, TokenRecord};
use everbearer::{FileStore, TokenStore};

use super::Result;
use super::daemon::WORKERS;
use super::process::Tally;
use super::stops::Stops;

/// Prints the counts, and returns whether they are right.
pub(crate) async fn judge(
    server: &AuthServer,
    store: &FileStore,
    stops: &Stops,
    told: &Tally,
) -> Result<bool> {
    let stored = store.load().await?.ok_or("the token file is gone")?;
    let text = stored.record.encode().expose().to_owned();
    let current = stored.record.current().token_id().unwrap_or_default();
    let tokens = server.tokens();
    let long_term: Vec<&TokenRecord> = tokens
        .iter()
        .filter(|it| it.kind == TokenKind::LongTerm)
        .collect();
    // The first one was there before. One that was never exchanged was issued for a request that was sent again, since its
    // response had come too late.
    let parents: BTreeSet<&str> = tokens.iter().filter_map(exchanged).collect();
    let successors = long_term.iter().skip(1);
    let is_used = |it: &&&TokenRecord| parents.contains(it.token_id.as_str());
    let used = successors.clone().filter(is_used).count() as u64;
    let unused = successors.clone().count() as u64 - used;
    let unknown = long_term
        .iter()
        .filter(|it| server.is_live(&it.token_id) && !text.contains(&it.token_id))
        .count();
    // A daemon that ends during a rotation leaves the rest of it to the next process.
    let unproven = u64::from(text.contains("\"next\""));
    let is_told = (told.rotated..=told.rotated + unproven).contains(&used);
    let mut replaced = BTreeSet::new();
    let mut of_used = successors.filter(is_used).map(|it| it.parent.as_deref());
    let is_once = of_used.all(|parent| parent.is_some() && replaced.insert(parent));
    let is_live = server.is_live(current);
    let held_up = stops.number * 2 * WORKERS;
    let counts = server.counts();
    let repeated = counts.exchanges_repeated;
    let gateway = counts.long_term.client_errors;

    let mut rows = Rows { is_well: true };
    rows.add("rotations counted by the server", used, used > 0);
    rows.add("each token was replaced once", is_once, is_once);
    rows.add("rotations that the daemons made", told.rotated, is_told);
    rows.add("rotations begun and not finished", unproven, true);
    rows.add(
        "requests for a token that were repeated",
        unused,
        unused <= stops.number,
    );
    rows.add("requests for a token that got a 401", gateway, true);
    rows.add(
        "accesses to the store that timed out",
        told.store_failed,
        told.store_failed <= stops.number,
    );
    rows.add(
        "tokens loaded from the store",
        told.followed,
        told.followed > 0,
    );
    rows.add(
        "exchanges that returned a token again",
        repeated,
        repeated > 0,
    );
    rows.add("stops of a daemon", stops.number, stops.number > 0);
    let has_met = stops.number < 20 || stops.of_holder > 0;
    rows.add("  while it held the lease", stops.of_holder, has_met);
    rows.add(
        "  and for longer than the lease lasts",
        stops.beyond_hold,
        true,
    );
    rows.add("requests", told.requests, told.requests > 0);
    rows.add("  that failed", told.failed, told.failed == 0);
    rows.add(
        "  refused after a stop",
        stops.refused,
        stops.refused <= held_up,
    );
    rows.add(
        "  refused otherwise",
        stops.refused_otherwise,
        stops.refused_otherwise == 0,
    );
    rows.add("the token in the file is valid", is_live, is_live);
    rows.add(
        "valid tokens that are not in the file",
        unknown,
        unknown == 0,
    );
    println!(
        "{}",
        if rows.is_well {
            "All checks passed."
        } else {
            "Some checks failed; see the lines marked with `<== FAILED`."
        }
    );
    Ok(rows.is_well)
}

/// Returns the long-term token from which this short-term token was minted.
fn exchanged(token: &TokenRecord) -> Option<&str> {
    let is_short_term = token.kind == TokenKind::ShortTerm;
    token.parent.as_deref().filter(|_| is_short_term)
}

struct Rows {
    is_well: bool,
}

impl Rows {
    fn add(&mut self, name: &str, value: impl Display, is_right: bool) {
        let verdict = if is_right { "" } else { "   <== FAILED" };
        println!("  {name:<40} {value:>6}{verdict}");
        self.is_well &= is_right;
    }
}
