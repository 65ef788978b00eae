//! The sections about columns and about the net: importance, partial dependence, regions, weights.

use super::parts::Detail;
use super::parts::{figures, note};
use crate::report::figures::{self as drawn, Figure};
use crate::report::words::count;
use crate::report::{Picture, RunReport};
use maud::{Markup, html};

pub(super) fn explained(report: &RunReport, detail: Detail) -> Markup {
    let mut all: Vec<Figure> = report.influence.iter().filter_map(drawn::importance).collect();
    all.extend(report.regions.iter().map(|regions| drawn::regions(regions, report)));
    let kind = report.target.kind;
    let dependence = report.dependence.iter().take(detail.figures);
    let dependence: Vec<Figure> = dependence.map(|one| drawn::dependence(one, kind)).collect();
    let left_out = report.influence.as_ref().map_or(0, |influence| influence.left_out);
    if all.is_empty() && dependence.is_empty() {
        return html! {};
    }
    html! {
        (figures(&all))
        @if left_out > 0 {
            (note(&format!(
                "{} with the smallest weights in the first layer were not permuted, to limit the cost.",
                count(left_out, "column")
            )))
        }
        @if !dependence.is_empty() {
            h3 { "Partial dependence" }
            p { "The mean prediction if one column has the same value in all rows and the others are unchanged. It shows what the model learned, which need not be what causes the target." }
            (figures(&dependence))
        }
    }
}

pub(super) fn net(report: &RunReport, detail: Detail) -> Markup {
    let net = &report.net;
    let layers: Vec<Figure> =
        report.layers.iter().take(detail.figures).filter_map(drawn::layer).collect();
    html! {
        p {
            (net.layers) ": " (count(net.parameters, "parameter"))
            @if net.nets > 1 { " in each of " (net.nets) " nets, whose predictions are averaged" }
            ", trained to minimize " (net.loss) "."
            @if let Some(temperature) = net.temperature {
                " Its outputs were divided by " (crate::base::words::short(temperature)) " to calibrate its probabilities."
            }
        }
        @if let Some(picture) = &report.first_layer { (first_layer(picture)) }
        (figures(&layers))
    }
}

fn first_layer(picture: &Picture) -> Markup {
    // As large as is useful, in whole pixels.
    let scale = (640 / picture.width.max(1)).clamp(1, 8);
    html! {
        figure {
            img src=(picture.uri) style="image-rendering:pixelated" alt=(picture.about) width=(picture.width * scale) height=(picture.height * scale);
            figcaption { (picture.about) "." }
        }
    }
}
