//! Properties that hold for any history of processes that share a store, with crashes at any step, and with any
//! answers.
//!
//! `PROPTEST_CASES=100000 cargo test --lib long_term` runs more cases than usual.

mod history;
mod pauses;
mod play;
mod process;
mod world;

use proptest::prelude::*;

use history::{beginnings, events};
use play::Play;

proptest! {
    // A case that fails becomes a named test instead of a regression file.
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// - Whatever crashes and gets lost, a provider that is asked gets a token (L2, L4, L19).
    /// - A request is made only with what is stored (L2), by the holder of the lease (L8), one at a time.
    /// - At rest, the store holds the record (L10, L13), and no process the lease (L16).
    /// - After a hand-in, nothing older is used (L12).
    /// - After the shutdown, nothing begins (D8).
    /// - Nothing that was obtained is forgotten, and nothing in use is revoked (L7, L15).
    #[test]
    fn l2_no_history_loses_the_long_term_token(
        beginning in beginnings(),
        history in proptest::collection::vec(events(), 20..200),
    ) {
        let mut play = Play::new(beginning);
        for event in history {
            play.happens(event);
        }
        play.calm_down();
        play.check_the_end();
    }
}
