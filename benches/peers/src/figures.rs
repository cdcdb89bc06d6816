//! Draws the figures that the README shows.

mod axis;
mod canvas;
mod hot_path;
mod numbers;
mod refreshing;
mod rows;
mod scaling;
mod stampede;

use std::error::Error;
use std::path::Path;

use plotters::style::RGBColor;

use crate::report::{Machine, Report};

type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: i32 = 820;

/// The rival that does nothing: no other can be faster.
const FLOOR: &str = "static header";

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const SOFT_INK: RGBColor = RGBColor(0x57, 0x60, 0x6a);
const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);

const OURS: RGBColor = RGBColor(0xd1, 0x1f, 0x3c);
const OURS_LIGHT: RGBColor = RGBColor(0xee, 0x9a, 0xa8);
const THEIRS: RGBColor = RGBColor(0x86, 0xa0, 0xbd);
const THEIRS_LIGHT: RGBColor = RGBColor(0xc9, 0xd6, 0xe4);
const GREY: RGBColor = RGBColor(0xa3, 0xa3, 0xa3);
const GREY_LIGHT: RGBColor = RGBColor(0xd4, 0xd4, 0xd4);

/// Draws each figure for which the report has results.
pub(crate) fn draw(report: &Report, folder: &Path) -> Result<(), Box<dyn Error>> {
    hot_path::draw(report, &folder.join("hot_path.svg"))?;
    scaling::draw(report, &folder.join("scaling.svg"))?;
    refreshing::draw(report, &folder.join("refreshing.svg"))?;
    stampede::draw(report, &folder.join("stampede.svg"))
}

fn is_ours(rival: &str) -> bool {
    rival.starts_with("everbearer")
}

/// A strong colour and a light one.
fn colours(rival: &str) -> (RGBColor, RGBColor) {
    if is_ours(rival) {
        (OURS, OURS_LIGHT)
    } else if rival == FLOOR {
        (GREY, GREY_LIGHT)
    } else {
        (THEIRS, THEIRS_LIGHT)
    }
}

/// What stands below each figure.
fn source(machine: &Machine, rounds: usize) -> String {
    format!(
        "Medians of {rounds} rounds, whiskers from least to most. {}, {} cores.",
        machine.processor, machine.cores
    )
}
