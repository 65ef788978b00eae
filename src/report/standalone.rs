//! The figures of a report as separate files.

use super::RunReport;
use super::figures::{self, Figure};
use super::plots::{COLORS, Drawing, STYLE, png};
use crate::base::error::Result;

/// A figure as a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Its name without an extension.
    pub name: String,
    drawing: Drawing,
}

impl Plot {
    /// The plot as an SVG document.
    #[must_use]
    pub fn svg(&self) -> String {
        standalone(&self.drawing.svg().into_string())
    }

    /// The plot as a PNG file, with two pixels per unit of the drawing.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        png(&self.drawing)
    }
}

/// All figures of a report, each with a unique name.
#[must_use]
pub fn plots(report: &RunReport) -> Vec<Plot> {
    let kind = report.target.kind;
    let mut all: Vec<Figure> = Vec::new();
    report.curves.iter().for_each(|curve| all.extend(figures::training(curve, kind)));
    report.evaluations.iter().for_each(|one| all.extend(figures::evaluation(one, kind)));
    all.extend(report.influence.iter().filter_map(figures::importance));
    all.extend(report.dependence.iter().map(|one| figures::dependence(one, kind)));
    all.extend(report.regions.iter().map(|regions| figures::regions(regions, report)));
    all.extend(report.layers.iter().filter_map(figures::layer));
    let mut plots: Vec<Plot> = Vec::new();
    for figure in all {
        let is_taken = |name: &str| plots.iter().any(|plot| plot.name == name);
        let mut names = std::iter::once(figure.name.clone())
            .chain((2..).map(|n| format!("{}-{n}", figure.name)));
        let name = names.find(|name| !is_taken(name)).unwrap_or_default();
        plots.push(Plot { name, drawing: figure.drawing.with_legend(&figure.legend) });
    }
    plots
}

/// A drawing of a page as a separate document, with its styles.
fn standalone(drawing: &str) -> String {
    let mut style = STYLE.to_string();
    // SVG renderers don't support custom properties: each series has its own rules.
    for series in 0..4 {
        let of = |property: &str| format!("var({property})");
        let rules = [
            format!(".plot .line.s{series}{{stroke:{}}}", of(&format!("--c{series}"))),
            format!(
                ".plot .dot.s{series},.plot .bar.s{series},.plot .cell.s{series},.plot .region.s{series},.plot .point.s{series}{{fill:{}}}",
                of(&format!("--c{series}"))
            ),
        ];
        style += &rules.concat();
        style = style.replace(&format!(".plot .s{series}{{--s:var(--c{series})}}"), "");
    }
    style = style.replace(".plot .ink{--s:var(--ink)}", "");
    style += ".plot .point.ink{fill:var(--ink)}";
    style = style
        .replace("stroke:var(--s);", "")
        .replace("fill:var(--s);", "")
        .replace("fill:var(--s)", "");
    for (name, color) in COLORS {
        style = style.replace(&format!("var({name})"), color);
    }
    // A white background.
    let body =
        format!("<style>{style}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
    let drawing = drawing.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
    match drawing.find('>') {
        Some(end) => format!("{}{body}{}", &drawing[..=end], &drawing[end + 1..]),
        None => drawing,
    }
}
