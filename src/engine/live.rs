//! The short-term tokens that this provider obtained and that may be valid, which the shutdown revokes.
//! There may be very many tokens: adding one takes amortized constant time, and finding one logarithmic time.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use crate::clock::Moment;
use crate::machine::{Call, SetId};
use crate::token::ShortTermToken;

/// How many tokens without a stated end are kept, to bound the memory.
const MOST_WITHOUT_END: usize = 1_000;

/// Below this number of tokens, `insert` does not search for expired tokens.
const FEW: usize = 16;

/// Hashes what identifies a token, which a server may choose.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A token to revoke.
#[derive(Clone, Debug)]
pub(crate) struct LiveToken {
    pub(crate) set: SetId,
    pub(crate) token: ShortTermToken,
    /// When the token expires at the latest; `None` if that is unknown.
    pub(crate) ends_at: Option<Moment>,
}

impl LiveToken {
    pub(crate) fn has_ended(&self, now: Moment) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= now)
    }
}

/// A token that may be valid at the auth server: the outcome of this call did not arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknown {
    pub(super) call: (Call, Option<SetId>),
    /// When it expires at the latest, as far as that can be told.
    pub(crate) ends_at: Option<Moment>,
    pub(crate) is_long_term: bool,
}

/// The tokens in the order in which they arrived, each under a number.
#[derive(Debug, Default)]
pub(crate) struct LiveTokens {
    tokens: VecDeque<Box<Numbered>>,
    last: u64,
    /// The number of each token, by the hash of its ID, or of its text if it has no ID.
    numbers: HashMap<u64, u64>,
    without_end: BTreeSet<u64>,
    /// The number of tokens at which `insert` removes the expired ones.
    full_at: usize,
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    live: LiveToken,
}

impl LiveTokens {
    /// Adds the token. A token that the server returns again keeps its number, and the latest statement
    /// about its end counts.
    pub(crate) fn insert(&mut self, live: LiveToken, now: Moment) {
        while let Some(oldest) = self.tokens.front().filter(|it| it.live.has_ended(now)) {
            self.remove(oldest.number);
        }
        if self.tokens.len() >= self.full_at {
            self.forget_ended(now);
            self.full_at = FEW.max(self.tokens.len() * 2);
        }
        let identity = identity(&live.token);
        if self.ended_as(identity, now) {
            // It has another number now: the server has issued it anew.
            self.forget(&live.token);
        }
        let known = self.numbers.get(&identity).copied();
        let (ends, number) = (live.ends_at.is_some(), known.unwrap_or(self.last + 1));
        if let Some(numbered) = self.get_mut(number) {
            numbered.live = live;
        } else {
            self.last = number;
            self.numbers.insert(identity, number);
            self.tokens.push_back(Box::new(Numbered { number, live }));
        }
        if ends {
            self.without_end.remove(&number);
        } else {
            self.without_end.insert(number);
        }
        if self.without_end.len() > MOST_WITHOUT_END
            && let Some(oldest) = self.without_end.first()
        {
            self.remove(*oldest);
        }
    }

    pub(crate) fn forget_ended(&mut self, now: Moment) {
        if self.tokens.iter().any(|it| it.live.has_ended(now)) {
            self.tokens.retain(|it| !it.live.has_ended(now));
            let left: HashSet<u64> = self.tokens.iter().map(|it| it.number).collect();
            self.numbers.retain(|_, number| left.contains(number));
        }
    }

    /// Assigns a live token to this scope set.
    pub(crate) fn give(&mut self, token: &ShortTermToken, set: SetId) {
        let number = self.number_of(token);
        if let Some(numbered) = number.and_then(|number| self.get_mut(number)) {
            numbered.live.set = set;
        }
    }

    /// Returns when this token expires at the latest, if it is live and that is known.
    pub(crate) fn ends_at(&self, token: &ShortTermToken) -> Option<Moment> {
        let place = self.place(self.number_of(token)?)?;
        self.tokens.get(place)?.live.ends_at
    }

    pub(crate) fn forget(&mut self, token: &ShortTermToken) {
        if let Some(number) = self.number_of(token) {
            self.remove(number);
        }
    }

    /// Returns the newest tokens, up to this number of bytes of text.
    pub(crate) fn newest(&self, most: usize) -> impl Iterator<Item = ShortTermToken> {
        let newest = self.tokens.iter().rev().map(|it| &it.live.token);
        newest.scan(most, |left, token| {
            *left = left.checked_sub(token.expose().len())?;
            Some(token.clone())
        })
    }

    /// Returns the tokens of this scope set.
    pub(crate) fn of_set(&self, set: SetId) -> Vec<LiveToken> {
        let tokens = self.tokens.iter().map(|it| &it.live);
        tokens.filter(|live| live.set == set).cloned().collect()
    }

    /// Returns the tokens with a number greater than this, and the greatest number.
    pub(crate) fn after(&self, number: u64) -> (Vec<LiveToken>, u64) {
        let first = self.tokens.partition_point(|it| it.number <= number);
        let newer = self.tokens.range(first..).map(|it| it.live.clone());
        (newer.collect(), self.last)
    }

    fn remove(&mut self, number: u64) {
        let place = self.place(number);
        if let Some(removed) = place.and_then(|place| self.tokens.remove(place)) {
            self.numbers.remove(&identity(&removed.live.token));
            self.without_end.remove(&number);
        }
    }

    /// Returns whether the token of this identity has ended.
    fn ended_as(&self, identity: u64, now: Moment) -> bool {
        let number = self.numbers.get(&identity);
        let place = number.and_then(|number| self.place(*number));
        let token = place.and_then(|place| self.tokens.get(place));
        token.is_some_and(|it| it.live.has_ended(now))
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = self.tokens.binary_search_by_key(&number, |it| it.number);
        place.ok()
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Numbered> {
        let place = self.place(number)?;
        self.tokens.get_mut(place).map(|it| &mut **it)
    }

    fn number_of(&self, token: &ShortTermToken) -> Option<u64> {
        self.numbers.get(&identity(token)).copied()
    }
}

/// Returns the hash of the token's ID, or of its text if it has no ID.
fn identity(token: &ShortTermToken) -> u64 {
    match token.token_id() {
        Some(id) => HASHER.hash_one((true, id)),
        None => HASHER.hash_one((false, token.expose())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(seconds))
    }

    fn minted(text: &str, id: Option<&str>, ends_at: Option<u64>) -> LiveToken {
        let mut token = ShortTermToken::builder(text);
        if let Some(id) = id {
            token = token.token_id(id);
        }
        LiveToken {
            set: SetId::ROOT,
            token: token.build().unwrap(),
            ends_at: ends_at.map(at),
        }
    }

    fn texts(live: &LiveTokens) -> Vec<String> {
        let (all, _) = live.after(0);
        all.iter().map(|it| it.token.expose().to_owned()).collect()
    }

    #[test]
    fn tokens_are_forgotten_when_they_have_ended() {
        let mut live = LiveTokens::default();
        live.insert(minted("a", None, Some(20)), at(0));
        live.insert(minted("b", None, Some(10)), at(0));
        live.insert(minted("c", None, None), at(0));
        live.forget_ended(at(10));
        assert_eq!(texts(&live), ["a", "c"]);
        live.forget_ended(at(1_000));
        assert_eq!(texts(&live), ["c"]);
    }

    #[test]
    fn a_token_that_is_handed_out_again_is_there_once() {
        let mut live = LiveTokens::default();
        live.insert(minted("a", None, Some(20)), at(0));
        live.insert(minted("b", Some("id"), Some(20)), at(0));
        live.insert(minted("a", None, Some(30)), at(0));
        live.insert(minted("another-text", Some("id"), None), at(0));
        assert_eq!(texts(&live), ["a", "another-text"]);
        live.forget_ended(at(25));
        assert_eq!(texts(&live), ["a", "another-text"]);
        let (newer, last) = live.after(1);
        assert_eq!((newer.len(), last), (1, 2));
        assert!(live.after(2).0.is_empty());
        live.forget(&minted("x", Some("id"), None).token);
        live.forget(&minted("unknown", None, None).token);
        assert_eq!(texts(&live), ["a"]);
    }

    /// The shutdown asks for the tokens that are new.
    #[test]
    fn a_token_that_had_ended_and_is_handed_out_again_is_a_new_one() {
        let mut live = LiveTokens::default();
        live.insert(minted("without-end", None, None), at(0));
        live.insert(minted("a", None, Some(10)), at(0));
        live.insert(minted("a", None, Some(30)), at(20));
        assert_eq!(live.after(2).0.len(), 1);
        assert_eq!(texts(&live), ["without-end", "a"]);
    }

    #[test]
    fn tokens_that_have_ended_are_forgotten_in_time() {
        let mut live = LiveTokens::default();
        for number in 0..100 {
            live.insert(
                minted(&format!("t-{number}"), None, Some(number + 2)),
                at(number),
            );
            assert!(texts(&live).len() <= 2);
        }
        // Not in the order in which they arrived.
        live.insert(minted("long", None, Some(10_000)), at(200));
        for number in 200..1_000 {
            live.insert(
                minted(&format!("s-{number}"), None, Some(number + 2)),
                at(number),
            );
            assert!(texts(&live).len() <= FEW);
        }
        assert_eq!(live.numbers.len(), live.tokens.len());
    }

    #[test]
    fn the_oldest_tokens_without_an_end_are_forgotten_first() {
        let mut live = LiveTokens::default();
        for number in 0..=MOST_WITHOUT_END {
            live.insert(minted(&format!("t-{number}"), None, None), at(0));
        }
        assert_eq!(live.after(0).0.len(), MOST_WITHOUT_END);
        assert_eq!(texts(&live)[0], "t-1");
    }
}
