use super::*;

/// Uniform numbers in (0, 1) (splitmix64).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 1e-17
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * maths::ln(self.next())
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * maths::ln(self.next())).sqrt() * maths::cos(std::f64::consts::TAU * self.next())
    }
}

const NEVER: u32 = 4000;

/// What gaps cost over the optimum: learned, with a cooldown of 300 s, with the break-even time. A second costs 1.
fn ratios(gone: f64, mut gap: impl FnMut(&mut Uniform) -> f64) -> (f64, f64, f64) {
    let (mut gaps, mut random) = (Gaps::default(), Uniform(1));
    let (mut learned, mut cooled, mut even, mut best) = (0.0, 0.0, 0.0, 0.0);
    let cost = |kept: f64, gap: f64| kept.min(gap) + if gap > kept { gone } else { 0.0 };
    for _ in 0..NEVER {
        let gap = gap(&mut random);
        learned += cost(gaps.keep_for(1.0, gone), gap);
        cooled += cost(300.0, gap);
        even += cost(gone, gap);
        best += gap.min(gone);
        gaps.note(gap);
    }
    (learned / best, cooled / best, even / best)
}

/// Cost against the best in hindsight: learned, a fixed cooldown, the time that costs the same.
type Ratios = (f64, f64, f64);

#[test]
fn the_learned_time_beats_a_fixed_cooldown() {
    // A cold start worth ten minutes of an idle pod. Expected: what a prototype of the model measured, learned and fixed.
    let cases: [(&str, Ratios, f64, f64); 4] = [
        ("exponential, 5 min", ratios(600.0, |r| r.exponential(300.0)), 1.15, 1.60),
        ("exponential, 30 min", ratios(600.0, |r| r.exponential(1800.0)), 1.36, 1.53),
        ("periodic, 15 min", ratios(600.0, |r| 900.0 * (1.0 + 0.05 * r.normal())), 1.25, 1.50),
        (
            "bimodal",
            ratios(600.0, |r| if r.next() < 0.9 { r.exponential(30.0) } else { 7200.0 * (0.8 + 0.4 * r.next()) }),
            1.21,
            1.34,
        ),
    ];
    for (name, (learned, cooled, even), expected, expected_cooled) in cases {
        assert!((learned / expected - 1.0).abs() < 0.05, "{name}: {learned}");
        assert!((cooled / expected_cooled - 1.0).abs() < 0.05, "{name}: {cooled}");
        assert!(learned < cooled && learned < 1.01 * even, "{name}: {learned} {cooled} {even}");
    }
}

#[test]
fn no_gaps_cost_more_than_the_worst_case() {
    let worst = 1.0 + 1.0 / LAMBDA;
    // An adversary ends each gap just after the pod has left, and sometimes teaches the opposite before.
    for (flatter, length) in [(0_u32, 1.0), (1, 20.0), (5, 0.1), (5, 20.0), (30, 3.9), (30, 40.0)] {
        let (mut gaps, mut paid, mut best) = (Gaps::default(), 0.0, 0.0);
        for round in 0..2000_u32 {
            let kept = gaps.keep_for(1.0, 600.0);
            let attack = flatter == 0 || round % (flatter + 1) == flatter;
            let gap = if attack { kept + 0.001 } else { 600.0 * length };
            paid += kept.min(gap) + if gap > kept { 600.0 } else { 0.0 };
            best += gap.min(600.0);
            gaps.note(gap);
            assert!((0.25 * 600.0..=4.0 * 600.0).contains(&kept), "{kept}");
        }
        assert!(paid <= worst * best, "{flatter} {length}: {}", paid / best);
    }
    let mut random = Uniform(7);
    for _ in 0..50 {
        let (spread, median) = (4.0 * random.next(), 5.0 * maths::exp(8.0 * random.next()));
        let (learned, _, even) = ratios(600.0, |r| median * maths::exp(spread * r.normal()));
        assert!(learned <= worst && even <= 2.0 + 1e-9, "{median} {spread}: {learned} {even}");
    }
}

#[test]
fn before_twenty_gaps_the_break_even_time_is_taken() {
    let mut gaps = Gaps::default();
    for _ in 0..GAPS_TO_LEARN - 1 {
        gaps.note(10.0);
        assert_eq!(gaps.keep_for(0.5, 300.0), 600.0);
    }
    gaps.note(10.0);
    assert_eq!(gaps.keep_for(0.5, 300.0), 150.0, "gaps of 10 s say that waiting pays; a quarter is the least");
    assert_eq!(gaps.last_on(1000.0), None, "nothing is known of gaps this long");
    for _ in 0..300 {
        gaps.note(7200.0);
    }
    let more = gaps.last_on(600.0).expect("such gaps were seen");
    assert!((6000.0..6600.0).contains(&more), "{more}");
}

#[test]
fn nonsense_in_gaps_is_harmless() {
    let mut gaps = Gaps::default();
    for gap in [0.0, -5.0, 1e300, f64::INFINITY, 15.0, LONGEST] {
        (0..10).for_each(|_| gaps.note(gap));
    }
    let kept = gaps.keep_for(1.0, 600.0);
    assert!((150.0..=2400.0).contains(&kept), "{kept}");
    let text = serde_json::to_string(&gaps).expect("JSON");
    assert!(text.len() < 1200, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Gaps>(&text).expect("gaps"), gaps);
}
