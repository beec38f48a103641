//! Tests of `compile`.
use super::*;
#[test]
fn probe() {
    for q in [
        "rate(",
        "rate(x)",
        "rate(x[1m]",
        "sum(rate(http_requests_total{a=\"b\"[1m]))",
        "sum by (a) x",
        "foo{",
        "x[1m]",
        "\"a\"",
        "1+1",
        "foo(x)",
        "sum(x))",
        "x{a='b\"}",
        "rate(x[1y2])",
        "histogram_quantile(0.99, x)",
        "x and",
        "rate(x[])",
        "rate(x[1mm])",
        "üx",
    ] {
        println!("{q:?} => {:?}", promql::check(q));
    }
    for d in
        ["250ms", "30s", "5m", "1h30m", "1.5s", "1.5h", "30s1h", "1m30.5s", "0s", "", "5", "5 m", ".5s", "1.s", "1h.5m"]
    {
        println!("{d:?} => {:?}", parse_duration(d));
    }
    for c in ["0 8 * * 1-5", "0 8 * *", "61 8 * * *", "@daily", "0 0 8 * * 1"] {
        println!("{c:?} => {:?}", c.parse::<croner::Cron>().map(drop).map_err(|e| e.to_string()));
    }
}
