//! What an operation costs on several threads at once.

use std::path::Path;

use plotters::style::RGBColor;

use super::axis::Axis;
use super::canvas::{Canvas, NORMAL, SMALL, Side, width_of};
use super::{Drawn, FLOOR, GREY, GRID, INK, OURS, SOFT_INK, WIDTH, numbers, source};
use crate::report::{Report, Scaling};

/// The rivals that are drawn, where there are results of them. The later lie above the earlier.
const SHOWN: [(&str, RGBColor); 6] = [
    ("RwLock + format!", RGBColor(0x8c, 0x7a, 0xa9)),
    ("huskarl", RGBColor(0xb8, 0x93, 0x5a)),
    ("middle", RGBColor(0x5f, 0x9e, 0x98)),
    ("arc-swap, clone", RGBColor(0x6b, 0x8c, 0xb8)),
    (FLOOR, GREY),
    ("everbearer", OURS),
];

const HEIGHT: i32 = 480;
const LEFT: i32 = 84;
const TOP: i32 = 80;
const BOTTOM: i32 = HEIGHT - 84;
/// Least distance between two names.
const APART: i32 = 20;

struct Line<'a> {
    name: &'a str,
    colour: RGBColor,
    /// By the number of threads.
    entries: Vec<&'a Scaling>,
}

pub(super) fn draw(report: &Report, path: &Path) -> Drawn {
    let lines = lines(&report.scaling);
    let shown = || lines.iter().flat_map(|line| line.entries.iter().copied());
    let Some(most_threads) = shown().map(|entry| entry.threads).max() else {
        return Ok(());
    };

    let names = lines.iter().map(|line| width_of(line.name, NORMAL));
    let right = WIDTH - names.max().unwrap_or(0) - 56;
    let ends = shown().flat_map(|entry| [entry.nanos.least, entry.nanos.most]);
    let axis = Axis::around(ends, BOTTOM, TOP);
    let across = |threads: usize| {
        let steps = i32::try_from(most_threads.max(2) - 1).unwrap_or(1);
        let step = i32::try_from(threads).unwrap_or(1) - 1;
        LEFT + 24 + (right - LEFT - 48) * step / steps
    };

    let canvas = Canvas::new(
        path,
        HEIGHT,
        "More threads, one token",
        "All threads use one provider. Time on a core for each operation; 2 cores.",
        &source(&report.machine, report.machine.rounds),
    )?;
    for value in axis.marks() {
        let y = axis.at(value);
        canvas.horizontal(y, LEFT, right, GRID)?;
        canvas.text(&numbers::mark(value), (LEFT - 8, y), Side::Left, SMALL, INK)?;
    }
    canvas.upright(
        "nanoseconds per operation (log scale)",
        (24, i32::midpoint(TOP, BOTTOM)),
    )?;
    canvas.horizontal(BOTTOM, LEFT, right, SOFT_INK)?;
    for threads in 1..=most_threads {
        let x = across(threads);
        canvas.vertical(x, BOTTOM, BOTTOM + 5, SOFT_INK)?;
        canvas.text(
            &threads.to_string(),
            (x, BOTTOM + 15),
            Side::Middle,
            SMALL,
            INK,
        )?;
    }
    let middle = i32::midpoint(LEFT, right);
    canvas.text(
        "threads",
        (middle, BOTTOM + 38),
        Side::Middle,
        NORMAL,
        SOFT_INK,
    )?;

    for line in &lines {
        draw_line(&canvas, line, &axis, across)?;
    }
    draw_names(&canvas, &lines, &axis, across)?;
    canvas.finish()
}

fn lines(results: &[Scaling]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for (name, colour) in SHOWN {
        let mut entries: Vec<_> = results.iter().filter(|entry| entry.rival == name).collect();
        entries.sort_by_key(|entry| entry.threads);
        if !entries.is_empty() {
            lines.push(Line {
                name,
                colour,
                entries,
            });
        }
    }
    lines
}

fn draw_line(
    canvas: &Canvas<'_>,
    line: &Line<'_>,
    axis: &Axis,
    across: impl Fn(usize) -> i32,
) -> Drawn {
    let width = if line.colour == OURS { 4 } else { 2 };
    let point = |entry: &&Scaling| (across(entry.threads), axis.at(entry.nanos.median));
    let points: Vec<_> = line.entries.iter().map(point).collect();
    for entry in &line.entries {
        let x = across(entry.threads);
        let (low, high) = (axis.at(entry.nanos.least), axis.at(entry.nanos.most));
        canvas.vertical(x, high, low, line.colour)?;
        canvas.horizontal(high, x - 4, x + 5, line.colour)?;
        canvas.horizontal(low, x - 4, x + 5, line.colour)?;
    }
    canvas.line(points.clone(), width, line.colour)?;
    for at in points {
        canvas.dot(at, if line.colour == OURS { 6 } else { 5 }, line.colour)?;
    }
    Ok(())
}

/// Writes each name to the right of its line, and moves names apart where lines end close together.
fn draw_names(
    canvas: &Canvas<'_>,
    lines: &[Line<'_>],
    axis: &Axis,
    across: impl Fn(usize) -> i32,
) -> Drawn {
    let mut ends: Vec<_> = lines
        .iter()
        .filter_map(|line| Some((line, *line.entries.last()?)))
        .map(|(line, last)| (line, across(last.threads), axis.at(last.nanos.median)))
        .collect();
    ends.sort_by_key(|(_, _, y)| *y);

    let wanted: Vec<i32> = ends.iter().map(|(_, _, y)| *y).collect();
    for ((line, x, y), place) in ends.into_iter().zip(moved_apart(&wanted)) {
        canvas.line(vec![(x + 8, y), (x + 34, place)], 1, line.colour)?;
        let at = (x + 38, place);
        if line.colour == OURS {
            canvas.bold(line.name, at, Side::Right, OURS)?;
        } else {
            canvas.text(line.name, at, Side::Right, NORMAL, INK)?;
        }
    }
    Ok(())
}

/// Takes places from above to below.
fn moved_apart(wanted: &[i32]) -> Vec<i32> {
    let mut places = Vec::with_capacity(wanted.len());
    let mut free = TOP;
    for place in wanted {
        let place = free.max(*place);
        places.push(place);
        free = place + APART;
    }
    let mut free = BOTTOM - 8;
    for place in places.iter_mut().rev() {
        *place = free.min(*place);
        free = *place - APART;
    }
    places
}
