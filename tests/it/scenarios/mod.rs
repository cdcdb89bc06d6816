//! The timelines of tests/scenarios, each a test of its own.

mod format;
mod readme;
mod refusals;
mod run;
mod runner;
mod stating;

use std::fs;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use run::message;

macro_rules! timelines {
    ($($name:ident,)*) => {
        const NAMES: &[&str] = &[$(stringify!($name),)*];

        $(
            #[test]
            fn $name() {
                let file = directory().join(concat!(stringify!($name), ".json"));
                play(&file).unwrap_or_else(|failure| panic!("{failure}"));
            }
        )*
    };
}

timelines! {
    a_hanging_revocation_of_a_retired_set_is_given_up,
    a_set_that_only_token_with_uses_is_in_use,
    asking_for_more_than_the_server_gives_causes_no_exchange_each,
    d1_a_lazy_provider_that_was_never_asked_shuts_down,
    d1_a_shutdown_after_a_refusal,
    d1_a_shutdown_before_the_first_token,
    d1_a_shutdown_during_a_pause_after_a_failure,
    d1_a_shutdown_while_refreshing_fails,
    d1_after_the_shutdown_there_is_no_exchange_and_no_task,
    d2_a_token_is_revoked_as_long_as_the_server_may_hold_it_for_alive,
    d2_a_token_that_arrives_during_the_shutdown_is_revoked_too,
    d2_a_token_that_ended_while_the_machine_slept_needs_no_revoking,
    d2_a_token_that_lands_while_another_revocation_hangs_is_revoked_too,
    d2_superseded_tokens_are_revoked_unless_they_have_ended,
    d2_the_long_term_token_alone,
    d2_the_long_term_token_is_revoked_if_asked,
    d2_tokens_of_which_nobody_knows_the_end_are_all_revoked,
    d2_what_is_to_be_kept_is_kept,
    d3_a_revocation_that_fails_is_tried_again,
    d3_a_revocation_that_is_refused_is_reported,
    d3_a_revocation_that_panics_is_tried_again,
    d3_a_server_that_always_fails_is_given_up_at_the_deadline,
    d3_one_refused_revocation_does_not_spare_the_others,
    d4_a_hanging_revocation_of_a_retired_set_makes_no_token_up,
    d4_a_pause_beyond_the_deadline_is_not_waited_for,
    d4_a_revocation_that_hangs_is_given_up_at_the_deadline,
    d4_an_exchange_that_hangs_does_not_hold_up_the_shutdown,
    d4_an_exchange_that_hangs_does_not_keep_the_long_term_token_alive,
    d4_one_hanging_revocation_leaves_time_for_the_long_term_token,
    d4_one_revocation_that_hangs_does_not_spare_the_others,
    d4_the_deadline_can_be_chosen,
    d4_the_machine_sleeps_during_the_shutdown,
    d4_the_very_first_exchange_hangs_at_the_shutdown,
    d5_a_shutdown_whose_caller_goes_away_goes_on,
    d5_from_many_callers_there_is_one_shutdown,
    d6_callers_during_a_shutdown_that_hangs_are_told_at_once,
    d6_used_afterwards_everything_is_a_typed_error,
    d7_a_caller_that_waits_is_a_handle_too,
    d7_dropped_during_a_pause_after_a_failure,
    d7_dropped_during_the_shutdown,
    d7_dropped_while_an_exchange_hangs,
    d7_dropped_while_an_exchange_is_under_way,
    d7_when_the_last_handle_is_dropped_the_task_ends,
    d8_an_exchange_that_is_refused_during_the_shutdown_is_the_last_one,
    e14_a_hanging_server_at_the_start,
    e14_a_lazy_ready_waits_out_a_pause_longer_than_a_callers_wait,
    e14_a_refusal_ends_the_waiting_at_the_start,
    e14_by_default_ready_fails_with_the_first_failure,
    e14_ready_gives_up_after_the_start_timeout,
    e14_ready_is_told_of_the_first_token,
    e14_ready_notices_a_token_that_came_after_a_sleep_of_the_machine,
    e14_ready_of_one_set_too_many_does_not_spin,
    e14_with_a_start_timeout_ready_waits,
    e15_a_lazy_provider_leaves_the_next_attempt_to_the_next_caller,
    e15_a_refresh_after_a_401_that_fails_is_tried_again,
    e15_a_refresh_that_was_asked_for_and_is_refused_is_tried_again,
    e16_a_retry_after_beside_a_refusal_is_capped_and_shortens_nothing,
    e16_a_retry_after_beside_a_refusal_is_honoured,
    e1_in_the_window_a_failure_is_retried_and_the_end_stays,
    e2_a_panicking_issuer_fails_like_any_other,
    e3_a_forced_refresh_does_not_break_the_pause,
    e3_a_lazy_provider_keeps_to_the_pause,
    e3_during_a_pause_calls_with_a_good_token_cause_no_exchange,
    e3_during_a_pause_calls_without_a_token_bring_nothing_forward,
    e4_delays_are_capped,
    e4_delays_begin_anew_after_a_success,
    e4_delays_begin_anew_after_a_success_in_the_window,
    e4_delays_grow,
    e4_the_delay_really_passes,
    e5_delays_are_cut_to_the_rest_of_the_life,
    e5_towards_the_end_attempts_do_not_pile_up,
    e6_failing_until_the_end_is_an_error_and_not_an_expired_token,
    e7_a_refusal_during_whose_pause_the_token_ends,
    e7_a_refusal_is_shared_and_briefly_cached,
    e7_with_a_good_token_a_refusal_is_tried_again_after_each_pause,
    e8_a_demand_after_the_pause_is_tried_again_each_time,
    e8_a_new_long_term_token_during_an_exchange_with_the_old_one_is_tried_at_once,
    e8_a_new_long_term_token_in_good_times_costs_no_exchange,
    e8_a_new_long_term_token_is_tried_at_once,
    e8_a_new_long_term_token_that_is_refused_too,
    e8_after_a_renewal_exchanges_use_the_new_long_term_token,
    e8_with_a_good_token_a_new_long_term_token_ends_the_pause,
    e9_a_new_long_term_token_does_not_lift_the_servers_pause,
    e9_a_pause_is_kept_though_the_set_of_scopes_is_idle_in_between,
    e9_a_pause_longer_than_a_callers_patience_is_told_at_once,
    e9_a_retry_after_of_zero_does_not_shorten_the_delay,
    e9_an_absurd_retry_after_is_capped,
    e9_the_cap_can_be_chosen,
    e9_when_the_token_has_ended_the_pause_counts_in_full,
    e9_with_a_good_token_one_attempt_falls_before_its_end,
    f12_a_set_that_is_idle_by_the_clock_is_kept_while_callers_wait_for_it,
    f12_a_sleep_during_an_exchange_does_not_cost_the_caller_its_token,
    f13_a_token_that_was_taken_for_a_while_is_neither_retired_nor_revoked_before,
    f15_a_set_that_callers_wait_for_is_not_evicted,
    f15_sets_in_use_are_not_evicted,
    f15_the_set_that_was_idle_longest_is_evicted,
    f1_a_hundred_forced_refreshes_are_one_exchange,
    f1_callers_at_every_moment_of_an_exchange_share_it,
    f2_a_caller_waits_for_one_attempt_at_most,
    f2_callers_of_a_failing_issuer_share_one_error,
    f3_a_caller_dropped_during_a_pause_takes_nobody_along,
    f3_the_caller_that_brought_it_about_may_go_away,
    f3_when_every_caller_goes_away_the_exchange_still_lands,
    f4_a_caller_with_little_patience_does_not_end_the_exchange,
    f5_an_answer_after_the_time_out_is_not_used,
    f5_an_exchange_that_hangs_frees_its_slot,
    f5_exchanges_that_hang_one_after_the_other,
    f6_a_success_leaves_no_trace_of_the_failure_before,
    f7_a_set_that_is_refused_leaves_the_others_alone,
    f7_each_set_of_scopes_has_its_own_flight_and_its_own_token,
    f8_the_order_of_scopes_makes_no_difference,
    l12_renewed_before_the_first_use_then_refused,
    j1_what_starts_together_does_not_refresh_together,
    j2_jitter_is_drawn_once_for_each_token,
    j3_jitter_never_reaches_the_end,
    r3_a_401_for_an_old_token_is_answered_with_the_newer_one,
    r4_a_401_while_the_refresh_is_under_way,
    r4_a_hundred_late_401s_for_one_token_are_one_exchange,
    r5_a_token_that_was_minted_just_now_is_not_replaced,
    r5_each_set_of_scopes_counts_its_own_denials,
    r5_of_a_short_life_at_most_a_quarter_is_kept_between_denials,
    r5_the_pause_between_denials_can_be_chosen,
    r5_while_exchanges_fail_denials_keep_to_the_pause_after_a_failure,
    scopes_a_set_in_use_is_not_retired,
    scopes_a_set_is_refreshed_in_its_own_window_until_it_is_idle,
    scopes_an_idle_set_is_retired_and_its_tokens_are_revoked,
    scopes_more_sets_than_allowed_are_refused_by_name,
    scopes_share_one_shutdown,
    scopes_what_could_not_be_revoked_on_retiring_is_revoked_at_shutdown,
    token_with_joins_the_refresh_that_is_under_way,
    token_with_more_than_the_server_gives_is_an_error,
    token_with_serves_what_lasts_and_exchanges_what_does_not,
    token_with_that_fails_leaves_the_token_to_the_others,
    w10_a_token_that_ended_on_its_way_counts_as_a_failure,
    w10_a_token_that_is_already_expired_counts_as_a_failure,
    w10_in_the_window_an_expired_token_is_tried_again,
    w11_a_life_beyond_all_measure_counts_as_a_hundred_years,
    w11_an_exp_that_is_no_date_leaves_the_stated_life,
    w13_a_wall_clock_that_is_wrong_changes_nothing,
    w13_dates_of_a_server_whose_clock_is_wrong_are_read_against_its_own_date,
    w14_a_caller_after_a_sleep_through_the_pause_is_not_kept_waiting,
    w14_a_long_sleep_while_an_exchange_is_under_way,
    w14_a_short_sleep_while_an_exchange_is_under_way,
    w14_a_sleep_after_a_refusal,
    w14_a_sleep_before_the_window_shortens_the_rest,
    w14_a_sleep_during_a_pause_after_a_failure,
    w14_a_sleep_into_the_window,
    w14_after_a_sleep_of_two_hours_the_first_callers_wait,
    w14_after_a_sleep_the_token_is_replaced_with_nobody_asking,
    w14_many_short_sleeps_add_up,
    w15_steps_of_the_wall_clock_change_nothing,
    w15_steps_of_the_wall_clock_move_no_pause,
    w16_a_slow_exchange_is_not_followed_by_another_at_once,
    w16_tokens_of_ten_milliseconds_are_no_hot_loop,
    w16_tokens_without_a_life_are_no_hot_loop,
    w18_a_jwt_that_was_minted_earlier_is_used_for_what_is_left_of_its_life,
    w18_by_a_clock_that_is_behind_a_jwt_is_used_for_its_whole_life_at_most,
    w19_a_date_of_a_gateway_is_left_out_without_expires_in,
    w19_a_date_of_a_gateway_that_is_ahead_is_left_out,
    w19_a_jwt_past_by_the_local_clock_whose_life_is_short_is_used_for_no_longer,
    w19_a_jwt_that_is_past_by_the_local_clock_alone_is_used_once,
    w19_a_token_that_is_past_by_both_clocks_counts_as_a_failure,
    w19_an_expires_at_of_an_example_is_left_out,
    w19_an_iat_in_milliseconds_is_left_out,
    w19_the_earliest_of_what_is_left_counts,
    w20_an_exp_of_1e300_states_nothing,
    w20_an_exp_in_milliseconds_states_nothing,
    w20_an_exp_of_2_to_the_63_states_nothing,
    w21_a_jwt_does_not_live_longer_however_often_it_is_handed_out,
    w21_a_token_that_is_handed_out_until_its_end_is_served_until_then,
    w21_a_token_without_an_end_begins_its_life_anew_with_each_answer,
    w21_after_a_401_the_same_token_is_no_newer_one,
    w21_an_answer_of_zero_seconds_causes_no_hot_loop,
    w21_callers_that_ask_for_a_newer_token_cause_three_exchanges_at_most,
    w21_the_server_keeps_its_token_until_shortly_before_its_end,
    w22_a_refresh_that_a_caller_asks_for_is_not_held_back,
    w22_a_settling_time_can_be_set,
    w22_a_token_that_is_not_valid_yet_is_held_back,
    w22_a_token_that_is_refused_is_replaced_at_once,
    w22_an_nbf_after_the_date_of_the_answer_holds_a_token_back,
    w22_an_nbf_far_ahead_holds_a_token_back_for_a_minute_at_most,
    w22_the_token_before_is_served_to_its_end_at_most,
    w22_without_a_token_before_it_one_that_is_not_valid_yet_is_served,
    w24_a_hundred_calls_for_almost_a_whole_life_cause_one_exchange,
    w24_what_a_token_had_when_it_came_counts,
    w1_a_cold_start_is_one_exchange,
    w17_the_claims_of_a_jwt_say_how_long_it_lives,
    w2_a_fresh_token_costs_no_exchange,
    w3_a_lazy_provider_refreshes_behind_the_first_caller_in_the_window,
    w3_in_the_window_the_current_token_is_served_at_once,
    w4_a_token_is_served_to_its_last_moment_and_no_longer,
    w4_an_expired_token_is_never_served,
    w5_without_traffic_the_token_is_refreshed_all_the_same,
    w6_a_lazy_provider_lets_the_token_end_and_callers_wait_for_the_next,
    w6_a_lazy_provider_that_is_never_asked_exchanges_nothing,
    w7_a_life_of_5_seconds,
    w7_a_life_of_a_day,
    w7_a_life_of_a_hundred_years,
    w7_a_life_of_a_minute,
    w7_a_life_of_a_second,
    w7_a_life_of_a_tenth_of_a_second,
    w7_each_token_has_a_window_of_its_own,
    w8_a_fraction_and_a_margin_of_ones_own,
    w8_a_margin_takes_at_most_a_quarter_of_the_life,
    w8_a_refresh_before_the_end_wins_over_the_fraction,
    w8_before_the_end_takes_at_most_half_of_the_life,
    w9_a_token_whose_end_nobody_states_lives_for_five_minutes,
    w9_the_assumed_life_can_be_chosen,
    when_the_token_has_ended_delays_begin_anew,
}

#[test]
fn every_timeline_has_its_test() {
    let mut found: Vec<String> = files(&directory())
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    let mut named = NAMES.to_vec();
    named.sort_unstable();
    assert_eq!(found, named);
}

/// `EVERBEARER_SCENARIOS=DIR` plays the timelines of another directory as well.
#[test]
fn timelines_of_another_directory() {
    let Some(other) = std::env::var_os("EVERBEARER_SCENARIOS") else {
        return;
    };
    // Written to stdout directly, since the test harness captures `println!`.
    let played = play_all(Path::new(&other), &mut std::io::stdout());
    played.unwrap_or_else(|failures| panic!("{failures}"));
}

/// Plays all timelines of this directory, prints a line for each, and returns all failures.
fn play_all(directory: &Path, out: &mut impl Write) -> Result<(), String> {
    let files = files(directory);
    if files.is_empty() {
        return Err(format!("there is no .json in {}", directory.display()));
    }
    let mut failures = Vec::new();
    for file in &files {
        // The other timelines are played even if the engine panics.
        let played = catch_unwind(|| play(file))
            .unwrap_or_else(|panic| Err(format!("{}: {}", file.display(), message(&*panic))));
        let outcome = if played.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "timeline {} ... {outcome}", file.display()).unwrap();
        failures.extend(played.err());
    }
    if failures.is_empty() {
        return Ok(());
    }
    let (failed, all) = (failures.len(), files.len());
    Err(format!(
        "{failed} of {all} timelines failed:\n\n{}",
        failures.join("\n")
    ))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    files
}

fn play(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    run::run(&file.display().to_string(), &text)
}
