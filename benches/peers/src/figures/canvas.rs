//! Texts and shapes at places given in pixels.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{Circle, DrawingArea, IntoDrawingArea, PathElement, Polygon, Rectangle};
use plotters::prelude::{IntoFont, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, WHITE};

use super::axis::whole;
use super::{Drawn, INK, SOFT_INK, WIDTH};

pub(super) type Point = (i32, i32);

/// Height of small letters, and of those of most texts.
pub(super) const SMALL: f64 = 13.0;
pub(super) const NORMAL: f64 = 14.0;
const LARGE: f64 = 18.0;

#[derive(Clone, Copy)]
pub(super) enum Side {
    /// The text begins at the point.
    Right,
    /// The text ends at the point.
    Left,
    Middle,
}

#[derive(Clone, Copy)]
pub(super) enum Shape {
    Ring,
    Dot,
    Diamond,
}

pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl<'a> Canvas<'a> {
    /// A white sheet with a title.
    pub(super) fn new(
        path: &'a Path,
        height: i32,
        title: &str,
        below: &str,
        source: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let canvas = Self(SVGBackend::new(path, size).into_drawing_area());
        canvas.0.fill(&WHITE)?;
        canvas.write(title, (16, 24), Side::Right, &font(LARGE, true), INK)?;
        canvas.text(below, (16, 48), Side::Right, NORMAL, SOFT_INK)?;
        canvas.text(source, (16, height - 16), Side::Right, SMALL, SOFT_INK)?;
        Ok(canvas)
    }

    pub(super) fn text(
        &self,
        text: &str,
        at: Point,
        side: Side,
        letters: f64,
        colour: RGBColor,
    ) -> Drawn {
        self.write(text, at, side, &font(letters, false), colour)
    }

    pub(super) fn bold(&self, text: &str, at: Point, side: Side, colour: RGBColor) -> Drawn {
        self.write(text, at, side, &font(NORMAL, true), colour)
    }

    /// A text that is read from below to above.
    pub(super) fn upright(&self, text: &str, at: Point) -> Drawn {
        let font = font(SMALL, false).transform(FontTransform::Rotate270);
        self.write(text, at, Side::Middle, &font, SOFT_INK)
    }

    pub(super) fn rectangle(&self, from: Point, to: Point, colour: RGBColor) -> Drawn {
        Ok(self.0.draw(&Rectangle::new([from, to], colour.filled()))?)
    }

    /// A line that is sharp because it is drawn as a rectangle of whole pixels.
    pub(super) fn vertical(&self, x: i32, from: i32, to: i32, colour: RGBColor) -> Drawn {
        self.rectangle((x, from), (x + 1, to), colour)
    }

    pub(super) fn horizontal(&self, y: i32, from: i32, to: i32, colour: RGBColor) -> Drawn {
        self.rectangle((from, y), (to, y + 1), colour)
    }

    pub(super) fn line(&self, points: Vec<Point>, width: u32, colour: RGBColor) -> Drawn {
        let style = colour.stroke_width(width);
        Ok(self.0.draw(&PathElement::new(points, style))?)
    }

    pub(super) fn dot(&self, at: Point, radius: i32, colour: RGBColor) -> Drawn {
        Ok(self.0.draw(&Circle::new(at, radius, colour.filled()))?)
    }

    pub(super) fn shape(&self, shape: Shape, at: Point, colour: RGBColor) -> Drawn {
        match shape {
            Shape::Ring => {
                self.dot(at, 6, WHITE)?;
                Ok(self.0.draw(&Circle::new(at, 5, colour.stroke_width(2)))?)
            }
            Shape::Dot => self.dot(at, 6, colour),
            Shape::Diamond => {
                let (x, y) = at;
                let corners = [(x - 7, y), (x, y - 7), (x + 7, y), (x, y + 7)];
                Ok(self.0.draw(&Polygon::new(corners, colour.filled()))?)
            }
        }
    }

    /// From least to most, across a bar.
    pub(super) fn whisker(&self, y: i32, from: i32, to: i32) -> Drawn {
        if to - from < 2 {
            return Ok(());
        }
        self.horizontal(y, from, to, INK)?;
        self.vertical(from, y - 3, y + 4, INK)?;
        self.vertical(to, y - 3, y + 4, INK)
    }

    pub(super) fn finish(self) -> Drawn {
        Ok(self.0.present()?)
    }

    fn write(
        &self,
        text: &str,
        at: Point,
        side: Side,
        font: &FontDesc<'_>,
        colour: RGBColor,
    ) -> Drawn {
        let across = match side {
            Side::Right => HPos::Left,
            Side::Left => HPos::Right,
            Side::Middle => HPos::Center,
        };
        let style = font.color(&colour).pos(Pos::new(across, VPos::Center));
        Ok(self.0.draw_text(text, &style, at)?)
    }
}

/// More than a text takes with the usual fonts.
pub(super) fn width_of(text: &str, letters: f64) -> i32 {
    let count = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    whole(f64::from(count) * letters * 0.6)
}

fn font(pixels: f64, bold: bool) -> FontDesc<'static> {
    let style = if bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    // The backend divides the size by as much.
    (FontFamily::SansSerif, pixels * 1.24, style).into_font()
}
