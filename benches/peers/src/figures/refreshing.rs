//! How long callers wait while tokens are refreshed.

use std::path::Path;

use super::axis::Axis;
use super::canvas::{Canvas, SMALL, Shape, Side, width_of};
use super::rows::{ABOVE, Rows};
use super::{Drawn, INK, SOFT_INK, WIDTH, colours, is_ours, numbers, source};
use crate::report::{Paced, Report, Spread};

type Figure = (&'static str, fn(&Paced) -> Spread, Shape);

const SHOWN: [Figure; 3] = [
    ("p50", |entry| entry.p50_micros, Shape::Ring),
    ("p99.9", |entry| entry.p999_micros, Shape::Dot),
    ("max", |entry| entry.max_micros, Shape::Diamond),
];

/// How wide each column of numbers is.
const COLUMN: i32 = 74;
const RIGHT: i32 = WIDTH - 16 - 3 * COLUMN;
const EXCHANGE_MICROS: f64 = 20_000.0;

pub(super) fn draw(report: &Report, path: &Path) -> Drawn {
    let entries = entries(&report.paced);
    if entries.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = entries.iter().map(|entry| name(entry)).collect();
    let rows = Rows {
        names: names.iter().map(String::as_str).collect(),
        height: 32,
    };
    let canvas = Canvas::new(
        path,
        rows.sheet(),
        "Latency while tokens are refreshed",
        "64 callers, one call each per ms; exchanges of 20 ms, tokens that live so long. Whiskers: max above, p99.9 below.",
        &source(&report.machine, report.machine.paced_rounds),
    )?;

    let ends = entries.iter().flat_map(|entry| {
        SHOWN
            .into_iter()
            .flat_map(|(_, spread, _)| [spread(entry).least, spread(entry).most])
    });
    let axis = Axis::around(ends.chain([EXCHANGE_MICROS]), rows.left(), RIGHT);
    let mark = |micros| numbers::time(micros, numbers::mark);
    let title = "latency of a call (log scale)";
    rows.frame(&canvas, &axis, mark, title, RIGHT)?;

    let exchange = axis.at(EXCHANGE_MICROS);
    for y in (ABOVE..rows.bottom()).step_by(8) {
        canvas.vertical(exchange, y, y + 4, SOFT_INK)?;
    }
    canvas.text(
        "one exchange",
        (exchange + 4, ABOVE - 12),
        Side::Left,
        SMALL,
        SOFT_INK,
    )?;

    for ((title, _, shape), x) in SHOWN.into_iter().zip(columns()) {
        let symbol = x - width_of(title, SMALL) - 16;
        canvas.shape(shape, (symbol, ABOVE - 12), SOFT_INK)?;
        canvas.text(title, (x, ABOVE - 12), Side::Left, SMALL, SOFT_INK)?;
    }
    for (entry, (_, y)) in entries.iter().zip(rows.middles()) {
        draw_row(&canvas, entry, y, &axis)?;
    }
    canvas.finish()
}

/// Those that refresh, and what we take where nothing is to be refreshed.
fn entries(results: &[Paced]) -> Vec<&Paced> {
    let mut entries: Vec<&Paced> = results
        .iter()
        .filter(|entry| entry.refreshes || is_ours(&entry.rival))
        .collect();
    entries.sort_by(|one, other| {
        let (one, other) = (one.p999_micros.median, other.p999_micros.median);
        one.total_cmp(&other)
    });
    entries
}

/// With how long its tokens live, since not every rival can deal with the shortest lives.
fn name(entry: &Paced) -> String {
    if entry.refreshes {
        format!("{}, {} s", entry.rival, entry.life_millis / 1_000.0)
    } else {
        "everbearer, no refresh".to_owned()
    }
}

/// Where each column of numbers ends.
fn columns() -> impl Iterator<Item = i32> {
    (1..=3).map(|column| RIGHT + 4 + column * COLUMN)
}

fn draw_row(canvas: &Canvas<'_>, entry: &Paced, y: i32, axis: &Axis) -> Drawn {
    let (colour, light) = colours(&entry.rival);
    let from = axis.at(entry.p50_micros.median);
    let to = axis.at(entry.max_micros.median);
    canvas.rectangle((from, y - 2), (to, y + 2), light)?;
    // Apart from each other, as the two often lie close together.
    for (spread, y) in [(entry.p999_micros, y + 10), (entry.max_micros, y - 10)] {
        canvas.whisker(y, axis.at(spread.least), axis.at(spread.most))?;
    }
    for ((_, spread, shape), x) in SHOWN.into_iter().zip(columns()) {
        let median = spread(entry).median;
        canvas.shape(shape, (axis.at(median), y), colour)?;
        let label = numbers::time(median, numbers::short);
        canvas.text(&label, (x, y), Side::Left, SMALL, INK)?;
    }
    Ok(())
}
