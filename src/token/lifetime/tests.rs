//! The rules as a table, with correct and with wrong clocks.

use super::*;

const NOW: i64 = 1_000_000;
const MINUTE: i64 = 60;

fn secs(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap())
}

fn at(seconds: i64) -> UnixMillis {
    UnixMillis::from_millis(seconds * 1_000)
}

fn lives(seconds: i64) -> Lifetime {
    Lifetime::For(secs(seconds))
}

/// Only the local clock, which is correct.
const NOTHING: Stated = Stated {
    expires_in: None,
    expires_at: None,
    date: None,
    exp: None,
    iat: None,
    local: UnixMillis::from_millis(NOW * 1_000),
};

/// What a server states about a token that it has just issued for 15 minutes.
fn all() -> Stated {
    Stated {
        expires_in: Some(secs(900)),
        expires_at: Some(at(NOW + 900)),
        date: Some(at(NOW)),
        exp: Some(at(NOW + 900)),
        iat: Some(at(NOW)),
        ..NOTHING
    }
}

#[track_caller]
fn check(stated: Stated, lifetime: Lifetime, left_out: Option<Statement>) {
    let judgement = stated.judge();
    assert_eq!(judgement.lifetime, lifetime, "{stated:?}");
    let left_out = Vec::from_iter(left_out);
    assert_eq!(judgement.left_out, left_out, "{stated:?}");
}

#[test]
fn the_earliest_end_counts() {
    check(all(), lives(900), None);
    let expires_in = Some(secs(60));
    check(
        Stated {
            expires_in,
            ..all()
        },
        lives(60),
        None,
    );
    let exp = Some(at(NOW + 70));
    check(Stated { exp, ..all() }, lives(70), None);
    let expires_at = Some(at(NOW + 80));
    check(
        Stated {
            expires_at,
            ..all()
        },
        lives(80),
        None,
    );
    check(NOTHING, Lifetime::Unknown, None);
    let iat = Some(at(NOW));
    check(Stated { iat, ..NOTHING }, Lifetime::Unknown, None);
    let expires_in = Some(Duration::MAX);
    check(
        Stated {
            expires_in,
            ..NOTHING
        },
        Lifetime::For(LONGEST),
        None,
    );
}

#[test]
fn w18_the_whole_life_is_an_upper_bound_and_no_evidence() {
    // Issued 50 minutes ago, with 10 minutes left, without another statement.
    let minted_earlier = Stated {
        iat: Some(at(NOW - 50 * MINUTE)),
        exp: Some(at(NOW + 10 * MINUTE)),
        ..NOTHING
    };
    check(minted_earlier, lives(600), None);
    // The same with a `Date`: the server's clock is 5 minutes behind.
    let date = Some(at(NOW - 5 * MINUTE));
    check(
        Stated {
            date,
            ..minted_earlier
        },
        lives(900),
        None,
    );
    // The local clock is a day behind: `exp` − `iat` is the bound.
    let local = at(NOW - 24 * 60 * MINUTE);
    check(
        Stated {
            local,
            ..minted_earlier
        },
        lives(3_600),
        None,
    );
}

#[test]
fn w19_one_statement_by_which_alone_the_token_would_have_expired_is_left_out() {
    let past = Some(at(NOW - 365 * 24 * 60 * MINUTE));
    let rows = [
        // A `Date` 20 minutes ahead, from a cache or a gateway.
        (
            Stated {
                date: Some(at(NOW + 20 * MINUTE)),
                ..all()
            },
            lives(900),
            Some(Statement::Date),
        ),
        (
            Stated {
                date: Some(at(NOW + 20 * MINUTE)),
                expires_in: None,
                ..all()
            },
            lives(900),
            Some(Statement::Date),
        ),
        // An `iat` in milliseconds.
        (
            Stated {
                iat: Some(at(NOW * 1_000)),
                ..all()
            },
            lives(900),
            Some(Statement::Iat),
        ),
        // An `expires_at` of an example, beside `expires_in`, or beside a JWT.
        (
            Stated {
                expires_at: past,
                exp: None,
                iat: None,
                ..all()
            },
            lives(900),
            Some(Statement::ExpiresAt),
        ),
        (
            Stated {
                expires_at: past,
                expires_in: None,
                ..all()
            },
            lives(900),
            Some(Statement::ExpiresAt),
        ),
        (
            Stated {
                expires_at: past,
                expires_in: None,
                date: None,
                ..all()
            },
            lives(900),
            Some(Statement::ExpiresAt),
        ),
        // An `expires_in` of zero: a life below a second, rounded down.
        (
            Stated {
                expires_in: Some(Duration::ZERO),
                ..all()
            },
            lives(900),
            Some(Statement::ExpiresIn),
        ),
    ];
    for (stated, lifetime, left_out) in rows {
        check(stated, lifetime, left_out);
    }
}

#[test]
fn w10_a_token_without_life_under_every_omission_has_expired() {
    let past = Some(at(NOW - 5 * MINUTE));
    let rows = [
        // Past by the `Date` and by the local clock, whatever `expires_in` says.
        Stated {
            exp: past,
            iat: Some(at(NOW - 65 * MINUTE)),
            ..all()
        },
        Stated {
            exp: past,
            expires_at: None,
            iat: None,
            ..all()
        },
        // By two statements.
        Stated {
            expires_in: Some(Duration::ZERO),
            expires_at: past,
            exp: None,
            iat: None,
            ..all()
        },
        Stated {
            expires_in: Some(Duration::ZERO),
            expires_at: past,
            ..all()
        },
        // By the only statement.
        Stated {
            expires_in: Some(Duration::ZERO),
            ..NOTHING
        },
        Stated {
            expires_at: past,
            date: Some(at(NOW)),
            ..NOTHING
        },
        // The server's clock is ahead, and all its statements agree.
        Stated {
            expires_in: Some(Duration::ZERO),
            expires_at: Some(at(NOW + 9 * MINUTE)),
            exp: Some(at(NOW + 9 * MINUTE)),
            date: Some(at(NOW + 10 * MINUTE)),
            ..all()
        },
    ];
    for stated in rows {
        check(stated, lives(0), None);
    }
}

#[test]
fn w21_an_upper_bound_holds_for_repetitions() {
    let at_most = |stated: Stated| stated.judge().at_most;
    // Issued 5 minutes ago for 20 minutes.
    let aged = Stated {
        iat: Some(at(NOW - 5 * MINUTE)),
        ..all()
    };
    assert_eq!(at_most(aged), Some(secs(1_200)));
    // An `iat` in milliseconds is left out.
    let iat = Some(at(NOW * 1_000));
    assert_eq!(at_most(Stated { iat, ..all() }), Some(secs(900)));
    // Without `iat`, what is left until `exp` by the slower clock: neither clock shortens the bound alone.
    for (server, local, left) in [(0, 0, 900), (600, 0, 900), (0, 600, 900), (600, 300, 600)] {
        let without_iat = Stated {
            iat: None,
            expires_in: Some(secs(60)),
            date: Some(at(NOW + server)),
            local: at(NOW + local),
            ..all()
        };
        assert_eq!(at_most(without_iat), Some(secs(left)));
    }
    // A wrong local clock does not shorten a life that `expires_in` states.
    for local in [NOW - 600, NOW + 600] {
        let stated = Stated {
            expires_in: Some(secs(900)),
            exp: Some(at(NOW + 900)),
            local: at(local),
            ..NOTHING
        };
        check(stated, lives(900), None);
        assert_eq!(at_most(stated), Some(secs(900.max(NOW + 900 - local))));
    }
    // Without `exp`, the latest statement counts alone.
    let exp = None;
    assert_eq!(at_most(Stated { exp, ..all() }), None);
    assert_eq!(at_most(NOTHING), None);
}

#[test]
fn w18_a_clock_that_starts_in_1970_does_not_lift_the_bound() {
    let long = Stated {
        expires_in: Some(secs(86_400)),
        expires_at: None,
        date: None,
        ..all()
    };
    let old = at(NOW - 56 * 365 * 24 * 60 * MINUTE);
    for (date, local) in [(Some(old), at(NOW)), (None, old)] {
        let stated = Stated {
            date,
            local,
            ..long
        };
        check(stated, lives(900), Some(Statement::Exp));
        let expires_in = None;
        let nothing_else = Stated {
            expires_in,
            ..stated
        };
        check(nothing_else, Lifetime::Unknown, Some(Statement::Exp));
        assert_eq!(nothing_else.judge().at_most, Some(secs(900)));
    }
}

#[test]
fn w19_past_by_the_local_clock_alone_is_doubtful() {
    let exp = Some(at(NOW - MINUTE));
    check(Stated { exp, ..NOTHING }, Lifetime::Doubtful, None);
    let iat = Some(at(NOW - 10 * MINUTE));
    check(
        Stated {
            exp,
            iat,
            ..NOTHING
        },
        Lifetime::Doubtful,
        None,
    );
    let expires_at = exp;
    check(
        Stated {
            expires_at,
            ..NOTHING
        },
        Lifetime::Doubtful,
        None,
    );
    // An implausible `iat` is no bound.
    let iat = Some(at(NOW * 1_000));
    check(
        Stated {
            exp,
            iat,
            ..NOTHING
        },
        Lifetime::Doubtful,
        None,
    );
}

#[test]
fn w20_a_date_beyond_a_hundred_years_states_nothing() {
    for exp in [
        at((NOW + 900) * 1_000_000),
        UnixMillis::from_millis(i64::MAX),
    ] {
        let exp = Some(exp);
        check(
            Stated { exp, ..NOTHING },
            Lifetime::Unknown,
            Some(Statement::Exp),
        );
        check(Stated { exp, ..all() }, lives(900), Some(Statement::Exp));
        let expires_at = exp;
        check(
            Stated {
                expires_at,
                ..NOTHING
            },
            Lifetime::Unknown,
            Some(Statement::ExpiresAt),
        );
        // With an `iat` in milliseconds, too.
        let iat = Some(at(NOW * 1_000_000));
        check(
            Stated {
                exp,
                iat,
                ..NOTHING
            },
            Lifetime::Unknown,
            Some(Statement::Exp),
        );
    }
}

/// Clocks that are wrong, by this many seconds.
const WRONG: [i64; 5] = [-20 * MINUTE, -MINUTE, 0, MINUTE, 20 * MINUTE];
const WHOLE: i64 = 3_600;

/// Returns what a server whose clock is ahead by `server` states about a token of an hour, issued `ago`
/// seconds ago.
fn minted(ago: i64, server: i64, local: i64) -> Stated {
    let end = NOW + server - ago + WHOLE;
    Stated {
        expires_in: Some(secs(WHOLE - ago)),
        expires_at: Some(at(end)),
        date: Some(at(NOW + server)),
        exp: Some(at(end)),
        iat: Some(at(end - WHOLE)),
        local: at(NOW + local),
    }
}

/// Every combination of the clocks of both sides and of the age.
fn all_clocks() -> impl Iterator<Item = (i64, i64, i64)> {
    let ages = [0, 50 * MINUTE];
    let local = move |server| WRONG.map(|local| ages.map(|age| (age, server, local)));
    WRONG
        .into_iter()
        .flat_map(move |server| local(server).into_iter().flatten())
}

#[test]
fn w13_with_the_servers_date_no_wrong_clock_changes_anything() {
    for (age, server, local) in all_clocks() {
        let left = lives(WHOLE - age);
        let full = minted(age, server, local);
        check(full, left, None);
        let expires_in = None;
        check(Stated { expires_in, ..full }, left, None);
        let expires_at = None;
        check(
            Stated {
                expires_in,
                expires_at,
                ..full
            },
            left,
            None,
        );
        let (exp, iat) = (None, None);
        check(
            Stated {
                expires_in,
                exp,
                iat,
                ..full
            },
            left,
            None,
        );
    }
}

#[test]
fn w13_with_expires_in_alone_no_wrong_clock_changes_anything() {
    for (age, server, local) in all_clocks() {
        let full = minted(age, server, local);
        let date = None;
        check(Stated { date, ..full }, lives(WHOLE - age), None);
    }
}

#[test]
fn w18_by_the_local_clock_a_life_is_wrong_by_what_the_clocks_differ_and_bounded() {
    for (age, server, local) in all_clocks() {
        let full = minted(age, server, local);
        let by_local_clock = Stated {
            expires_in: None,
            date: None,
            ..full
        };
        let left = WHOLE - age + server - local;
        let expected = match left {
            ..=0 => Lifetime::Doubtful,
            left => lives(left.min(WHOLE)),
        };
        check(by_local_clock, expected, None);
    }
}

#[test]
fn w19_a_date_of_another_clock_never_lengthens_a_stated_life() {
    for (age, server, local) in all_clocks() {
        for wrong in WRONG {
            let full = minted(age, server, local);
            let stated = Stated {
                date: Some(at(NOW + server + wrong)),
                ..full
            };
            let left = WHOLE - age;
            let is_past = left <= wrong;
            let is_past_by_both = is_past && left + server <= local;
            let (lifetime, left_out) = if is_past_by_both {
                (lives(0), None)
            } else if is_past {
                (lives(left), Some(Statement::Date))
            } else {
                (lives(left.min(left - wrong)), None)
            };
            check(stated, lifetime, left_out);
        }
    }
}

#[test]
fn every_statement_has_the_name_that_it_has_on_the_wire() {
    use Statement::*;
    let names = [ExpiresIn, ExpiresAt, Date, Exp, Iat].map(Statement::as_str);
    assert_eq!(names, ["expires_in", "expires_at", "Date", "exp", "iat"]);
}
