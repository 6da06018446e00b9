//! The cases as a picture: two bars each, with the range of the rounds.

use std::fmt::Write as _;

use crate::report::{Figures, Result, goal_text};

const LEFT: f64 = 190.0;
const WIDTH: f64 = 520.0;
const ROW: f64 = 52.0;
const TOP: f64 = 56.0;

/// Cases far slower than the rest (signatures in wasm) would flatten it and are left out.
pub(crate) fn svg(results: &[Result]) -> String {
    let shown: Vec<_> = results.iter().filter(|result| result.ours.median < 200.0).collect();
    let most = shown.iter().flat_map(|result| [result.ours.most, result.against.most]).fold(1.0, f64::max);
    let scale = WIDTH / most;
    let height = TOP + ROW * shown.len() as f64 + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"22\" font-size=\"15\">CPU of Envoy for each request, microseconds (median, and range of \
         the rounds)</text>\n\
         <rect x=\"16\" y=\"34\" width=\"10\" height=\"10\" fill=\"#2a6f97\"/><text x=\"32\" y=\"43\">Portcullis</text>\n\
         <rect x=\"116\" y=\"34\" width=\"10\" height=\"10\" fill=\"#b8b8b8\"/><text x=\"132\" y=\"43\">what it is held \
         against</text>\n",
        LEFT + WIDTH + 190.0
    );
    for (n, result) in shown.iter().enumerate() {
        let y = TOP + ROW * n as f64 + 10.0;
        let _ = writeln!(svg, "<text x=\"16\" y=\"{:.0}\">{}</text>", y + 20.0, result.case.name);
        bar(&mut svg, y, "#2a6f97", scale, &result.ours, "");
        bar(&mut svg, y + 17.0, "#b8b8b8", scale, &result.against, result.case.against.0);
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{:.0}\" font-size=\"11\" fill=\"#555\">ratio {:.2} (goal {})</text>",
            y + 34.0,
            result.ratio(),
            goal_text(result.case.goal).replace('<', "&lt;").replace('>', "&gt;"),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, y: f64, colour: &str, scale: f64, figures: &Figures, label: &str) {
    let (least, most) = (LEFT + figures.least * scale, LEFT + figures.most * scale);
    let middle = y + 7.0;
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"14\" fill=\"{colour}\"/>\
         <path d=\"M{least:.1} {middle:.0}H{most:.1}\" stroke=\"#000\"/>\
         <text x=\"{:.1}\" y=\"{:.0}\" font-size=\"12\">{:.1} {label}</text>",
        figures.median * scale,
        most + 8.0,
        y + 12.0,
        figures.median,
    );
}
