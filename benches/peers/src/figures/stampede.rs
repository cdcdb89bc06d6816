//! What happens when all callers come at once and nothing is cached.

use std::path::Path;

use super::axis::Axis;
use super::canvas::{Canvas, SMALL, Side};
use super::rows::{ABOVE, Rows};
use super::{Drawn, INK, SOFT_INK, THEIRS, THEIRS_LIGHT, WIDTH, colours, numbers, source};
use crate::report::{Report, Spread, Stampede};

const BAR: i32 = 14;
/// Where the longest bar ends; its label and the exchanges follow.
const RIGHT: i32 = WIDTH - 200;

pub(super) fn draw(report: &Report, path: &Path) -> Drawn {
    let mut entries: Vec<&Stampede> = report.stampede.iter().collect();
    if entries.is_empty() {
        return Ok(());
    }
    entries.sort_by(|one, other| one.last_millis.median.total_cmp(&other.last_millis.median));

    let rows = Rows {
        names: entries.iter().map(|entry| entry.rival.as_str()).collect(),
        height: 42,
    };
    let left = rows.left();
    let canvas = Canvas::new(
        path,
        rows.sheet(),
        "10,000 callers at once, nothing cached",
        "When the last of them has its token, and what that took; an exchange takes 20 ms.",
        &source(&report.machine, report.machine.rounds),
    )?;

    let ends = entries.iter().flat_map(|entry| {
        let (last, cpu) = (entry.last_millis, entry.cpu_millis);
        [last.least, last.most, cpu.least, cpu.most]
    });
    let axis = Axis::for_bars(ends, left, RIGHT);
    rows.frame(
        &canvas,
        &axis,
        numbers::mark,
        "milliseconds (log scale)",
        RIGHT,
    )?;
    draw_legend(&canvas, left)?;

    for (entry, (rival, y)) in entries.iter().zip(rows.middles()) {
        let (colour, light) = colours(rival);
        for (spread, top, colour) in [
            (entry.last_millis, y - BAR - 1, colour),
            (entry.cpu_millis, y + 1, light),
        ] {
            canvas.rectangle((left, top), (axis.at(spread.median), top + BAR), colour)?;
            draw_end(&canvas, spread, top + BAR / 2, &axis)?;
        }
        draw_exchanges(&canvas, entry, y)?;
    }
    canvas.finish()
}

fn draw_legend(canvas: &Canvas<'_>, left: i32) -> Drawn {
    let y = ABOVE - 12;
    for (x, colour, text) in [
        (left, THEIRS, "last caller served"),
        (left + 170, THEIRS_LIGHT, "CPU time of the client"),
    ] {
        canvas.rectangle((x, y - 6), (x + 12, y + 6), colour)?;
        canvas.text(text, (x + 18, y), Side::Right, SMALL, SOFT_INK)?;
    }
    canvas.text("exchanges", (WIDTH - 16, y), Side::Left, SMALL, SOFT_INK)
}

fn draw_end(canvas: &Canvas<'_>, spread: Spread, y: i32, axis: &Axis) -> Drawn {
    let most = axis.at(spread.most);
    canvas.whisker(y, axis.at(spread.least), most)?;
    let after = most.max(axis.at(spread.median)) + 8;
    let label = format!("{} ms", numbers::short(spread.median));
    canvas.text(&label, (after, y), Side::Right, SMALL, INK)
}

/// How many exchanges there were, and below that how many callers got no token.
fn draw_exchanges(canvas: &Canvas<'_>, entry: &Stampede, y: i32) -> Drawn {
    let x = WIDTH - 16;
    let exchanges = numbers::count(entry.exchanges.median);
    if entry.refused.median > 0.0 {
        canvas.text(&exchanges, (x, y - 8), Side::Left, SMALL, INK)?;
        let refused = format!("{} refused", numbers::count(entry.refused.median));
        canvas.text(&refused, (x, y + 8), Side::Left, SMALL, SOFT_INK)
    } else {
        canvas.text(&exchanges, (x, y), Side::Left, SMALL, INK)
    }
}
