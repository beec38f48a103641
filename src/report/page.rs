//! The page: text as HTML, so that it reads without scripts, and the plots' data as JSON beside plotly.js.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    Cell, Finding, Group, Panel, Point, Report,
    panel::{REASONS, meaning},
};
use crate::policy::turns;

const STYLE: &str = concat!(include_str!("../theme.css"), include_str!("page/style.css"));
const SCRIPTS: [&str; 4] = [
    include_str!("page/theme.js"),
    include_str!("page/plane.js"),
    include_str!("page/plots.js"),
    include_str!("page/main.js"),
];

/// What the scripts read.
#[derive(Serialize)]
struct Data<'a> {
    reasons: Vec<(String, &'static str)>,
    groups: Vec<&'a [Point]>,
    workloads: Vec<WorkloadData<'a>>,
}

#[derive(Serialize)]
struct WorkloadData<'a> {
    name: &'a str,
    objective_s: f64,
    quantile: f64,
    duration_s: f64,
    warmup_s: f64,
    panels: &'a [Panel],
}

/// The whole file.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page = String::with_capacity(5 << 20);
    page.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; \
         style-src 'unsafe-inline'; img-src data: blob:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>arbiter · simulation report</title>\n<style>\n",
    );
    page.push_str(STYLE);
    page.push_str("</style>\n</head>\n<body>\n");
    body(&mut page, report);
    page.push_str("<script type=\"application/json\" id=\"data\">");
    page.push_str(&data(report));
    page.push_str("</script>\n");
    page.push_str(plotly());
    page.push_str("\n<script>\n");
    for script in SCRIPTS {
        page.push_str(script);
    }
    page.push_str("</script>\n</body>\n</html>\n");
    page
}

/// plotly.js as the crate carries it, without the formula renderer (2 MB) that follows it and that nothing here uses.
fn plotly() -> &'static str {
    static SCRIPT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let sources = plotly::Plot::offline_js_sources();
        let end = sources.find("</script>").map_or(sources.len(), |at| at + "</script>".len());
        sources[..end].to_owned()
    });
    &SCRIPT
}

/// Data for the scripts; no string in it can end the element that holds it.
fn data(report: &Report) -> String {
    let workloads = report.workloads.iter().map(|workload| WorkloadData {
        name: &workload.name,
        objective_s: workload.objective.get(),
        quantile: workload.quantile,
        duration_s: workload.duration.get(),
        warmup_s: workload.warmup.get(),
        panels: &workload.panels,
    });
    let data = Data {
        reasons: REASONS.iter().map(|reason| (format!("{reason:?}"), meaning(*reason))).collect(),
        groups: report.groups.iter().map(|group| group.points.as_slice()).collect(),
        workloads: workloads.collect(),
    };
    let text = serde_json::to_string(&data).expect("numbers and strings become JSON");
    text.replace('<', "\\u003c").replace(turns, "\u{fffd}")
}

fn body(page: &mut String, report: &Report) {
    page.push_str(
        "<header class=\"top\"><span class=\"brand\">arbiter</span><span class=\"soft\">simulation report</span>\
         <button id=\"theme\" type=\"button\"></button></header>\n<main>\n",
    );
    for (index, group) in report.groups.iter().enumerate() {
        verdict(page, index, group);
    }
    workloads(page, report);
    findings(page, report);
    page.push_str("<section class=\"card pair\"><div><h2>What this rests on</h2>\n");
    definitions(page, &report.assumptions);
    if !report.calibration.is_empty() {
        page.push_str("<h2>How well the simulated service reproduces the recording</h2>\n");
        definitions(page, &report.calibration);
    }
    page.push_str("</div><div><h2>What it cannot know</h2>\n<ul>\n");
    for unknown in &report.unknowns {
        line(page, "li", unknown);
    }
    page.push_str("</ul></div></section>\n");
    next(page, report);
    page.push_str("</main>\n");
}

/// Sentence, plane and scores of one group.
fn verdict(page: &mut String, index: usize, group: &Group) {
    page.push_str("<section class=\"card verdict\">\n");
    line(page, if index == 0 { "h1" } else { "h2" }, &group.sentence);
    push(
        page,
        format_args!(
            "<div class=\"pair\"><figure><h3>Cost against risk</h3>\
             <div class=\"plane\" data-group=\"{index}\"></div>\
             <figcaption>Lower left is better: cheaper, and fewer requests late. On the dashed line everything is worth the \
             same J.</figcaption></figure>\n<div><h3>Scores</h3>\n"
        ),
    );
    table(page, &group.heads, &group.rows);
    page.push_str(
        "<p class=\"hint\">The best of each column is bold. J is cost plus the price of late work: one number for both, \
         smaller is better.</p>\n",
    );
    let (heads, rows) = &group.by_trace;
    if !rows.is_empty() {
        push(page, format_args!("<details><summary>By load ({})</summary>\n", rows.len()));
        table(page, heads, rows);
        page.push_str("</details>\n");
    }
    page.push_str("</div></div>\n</section>\n");
}

/// The place of the plots and its controls; scripts fill it.
fn workloads(page: &mut String, report: &Report) {
    if report.workloads.is_empty() {
        return;
    }
    page.push_str(
        "<section class=\"card\" id=\"played\"><h2>What each of them did</h2>\n\
         <p class=\"hint\">Point at a plot to read it and to see why the controller did what it did. Drag over a stretch of \
         time to look closer; all plots follow. Double-click shows everything again.</p>\n\
         <div class=\"controls\"><label id=\"pick-label\">Load <select id=\"pick\"></select></label>\
         <span class=\"chips\" id=\"controllers\" role=\"group\" aria-label=\"Controllers shown\"></span>\
         <span class=\"segments\" id=\"zoom\" role=\"group\" aria-label=\"Stretch of time\"></span></div>\n\
         <div class=\"key\" id=\"key\"></div>\n<div class=\"figures\" id=\"figures\"></div>\n\
         <noscript>The plots need JavaScript; nothing is loaded from anywhere.</noscript>\n",
    );
    if report.left_out > 0 {
        push(
            page,
            format_args!(
                "<p class=\"hint\">{} more loads were played and scored but are not plotted, to keep this file small; \
                 timeline.csv has them.</p>\n",
                report.left_out
            ),
        );
    }
    page.push_str("</section>\n");
}

fn findings(page: &mut String, report: &Report) {
    page.push_str("<section class=\"card\"><h2>Fights and unrest</h2>\n");
    if report.findings.is_empty() {
        page.push_str(
            "<p>None found: no controller moved count and size against each other, flapped, hit its maximum or \
             lost containers.</p>\n",
        );
    } else {
        page.push_str("<ul class=\"findings\">\n");
        let mut by_kind: Vec<Vec<&Finding>> = Vec::new();
        for finding in &report.findings {
            let alike =
                |list: &&mut Vec<&Finding>| (list[0].kind, &list[0].controller) == (finding.kind, &finding.controller);
            match by_kind.iter_mut().find(alike) {
                Some(list) => list.push(finding),
                None => by_kind.push(vec![finding]),
            }
        }
        for alike in &by_kind {
            found(page, alike);
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</section>\n");
}

/// Findings of one kind about one controller: the first ones in full, so that many loads don't bury them.
fn found(page: &mut String, findings: &[&Finding]) {
    const IN_FULL: usize = 2;
    let sentence = |page: &mut String, finding: &Finding| {
        page.push_str("<b>");
        escape(page, &finding.controller);
        page.push_str("</b> on ");
        escape(page, &finding.workload);
        page.push_str(": ");
        escape(page, &finding.says);
        page.push('.');
    };
    for finding in &findings[..findings.len().min(IN_FULL)] {
        push(page, format_args!("<li class=\"{}\">", finding.kind));
        sentence(page, finding);
        page.push_str("</li>\n");
    }
    let Some(rest) = findings.get(IN_FULL..).filter(|rest| !rest.is_empty()) else { return };
    push(page, format_args!("<li class=\"{}\"><details><summary>", rest[0].kind));
    escape(page, &format!("{} the same on {} more loads", rest[0].controller, rest.len()));
    page.push_str("</summary>");
    for finding in rest {
        page.push_str("<p>");
        sentence(page, finding);
        page.push_str("</p>\n");
    }
    page.push_str("</details></li>\n");
}

/// How to go on.
fn next(page: &mut String, report: &Report) {
    page.push_str(
        "<section class=\"card\"><h2>How to go on</h2>\n<p>Put your workload's name and queries into this and apply it. \
         In <code>mode: Recommend</code> arbiter shows what it would do and writes nothing; <code>arbiter explain</code> \
         shows why; <code>mode: Auto</code> hands over when you believe it.</p>\n<pre tabindex=\"0\">",
    );
    escape(page, &report.policy);
    page.push_str("</pre>\n<p class=\"hint\">Made with <code>");
    escape(page, &report.command);
    page.push_str("</code></p>\n</section>\n");
}

fn definitions(page: &mut String, rows: &[(String, String)]) {
    page.push_str("<dl>\n");
    for (name, value) in rows {
        line(page, "dt", name);
        line(page, "dd", value);
    }
    page.push_str("</dl>\n");
}

fn table(page: &mut String, heads: &[String], rows: &[Vec<Cell>]) {
    page.push_str("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    for head in heads {
        // A narrow column may break after a slash.
        page.push_str("<th>");
        for (index, part) in head.split('/').enumerate() {
            page.push_str(if index == 0 { "" } else { "/<wbr>" });
            escape(page, part);
        }
        page.push_str("</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            page.push_str(match (column, cell.best) {
                (0, _) => "<th scope=\"row\">",
                (_, true) => "<td class=\"best\">",
                (_, false) => "<td>",
            });
            escape(page, &cell.text);
            page.push_str(if column == 0 { "</th>" } else { "</td>" });
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// An element around text.
fn line(page: &mut String, element: &str, text: &str) {
    push(page, format_args!("<{element}>"));
    escape(page, text);
    push(page, format_args!("</{element}>\n"));
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a string takes everything");
}

/// Text as text, wherever it comes from.
fn escape(page: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            c if turns(c) => page.push('\u{fffd}'),
            _ => page.push(character),
        }
    }
}
