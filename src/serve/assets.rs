//! The page: static files, in the binary.

use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::ApiError;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The one document.
const INDEX: &str = include_str!("page/index.html");

/// Name under `/assets/`, media type, content.
pub(super) const FILES: [(&str, &str, &str); 14] = [
    ("app.js", JAVASCRIPT, include_str!("page/app.js")),
    ("chart.js", JAVASCRIPT, include_str!("page/chart.js")),
    ("compare.js", JAVASCRIPT, include_str!("page/compare.js")),
    ("detail.js", JAVASCRIPT, include_str!("page/detail.js")),
    ("dom.js", JAVASCRIPT, include_str!("page/dom.js")),
    ("explain.js", JAVASCRIPT, include_str!("page/explain.js")),
    ("icon.svg", SVG, include_str!("page/icon.svg")),
    ("list.js", JAVASCRIPT, include_str!("page/list.js")),
    ("plots.js", JAVASCRIPT, include_str!("page/plots.js")),
    ("reasons.js", JAVASCRIPT, include_str!("page/reasons.js")),
    ("store.js", JAVASCRIPT, include_str!("page/store.js")),
    ("style.css", CSS, concat!(include_str!("../theme.css"), include_str!("page/style.css"))),
    ("theme.js", JAVASCRIPT, include_str!("page/theme.js")),
    ("units.js", JAVASCRIPT, include_str!("page/units.js")),
];

fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], content).into_response()
}

/// `GET /`.
pub(super) async fn index() -> Response {
    file("text/html; charset=utf-8", INDEX)
}

/// `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    found.map(|(_, kind, content)| file(kind, content)).ok_or(ApiError::NoSuchPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page and the terminal say the same about what binds.
    #[test]
    fn the_page_has_the_words_of_every_constraint() {
        let page = include_str!("page/explain.js");
        for constraint in crate::decide::Constraint::ALL {
            let entry = format!("{constraint:?}: \"{}\"", constraint.words());
            assert!(page.contains(&entry), "explain.js lacks {entry}");
        }
    }

    /// Tenant text must only ever become text: none of the ways to turn a string into markup or code may be used.
    #[test]
    fn the_page_never_turns_a_string_into_markup() {
        for (name, _, content) in FILES {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "srcdoc",
                "DOMParser",
                "createContextualFragment",
                "setHTMLUnsafe",
                "javascript:",
            ] {
                assert!(!content.contains(way), "{name} uses {way}");
            }
        }
        assert!(!INDEX.contains(" on"), "an inline handler in index.html would be refused by the policy");
        assert!(!INDEX.contains("style="), "an inline style in index.html would be refused by the policy");
    }

    #[test]
    fn the_page_needs_no_network() {
        for (name, _, content) in FILES.into_iter().chain([("index.html", "", INDEX)]) {
            let names_a_host = |line: &str| {
                (line.contains("http://") || line.contains("https://")) && !line.contains("http://www.w3.org/2000/svg")
            };
            assert!(!content.lines().any(names_a_host), "{name} names a host");
            assert!(content.lines().count() <= 400, "{name} is more than one idea");
        }
    }

    #[test]
    fn every_module_that_is_imported_is_served() {
        for (name, _, content) in FILES {
            for line in content.lines().filter(|l| l.starts_with("import")) {
                let from = line.rsplit('"').nth(1).expect("an import names its module on its line");
                let module = from.strip_prefix("./").expect("modules are imported relative");
                assert!(FILES.iter().any(|(file, ..)| *file == module), "{name} imports {module}");
            }
        }
    }
}
