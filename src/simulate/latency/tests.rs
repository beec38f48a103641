//! The simulation against what is known exactly, the table against the simulation, the look-up against the table.

use super::{
    des::{Server, Work},
    pressure::erlang_c,
    *,
};
use crate::simulate::random::Stream;

/// Means of batches of sojourn times: their mean, and the standard error of it.
fn mean_sojourn(server: Server, batches: usize, per_batch: usize) -> (f64, f64) {
    let mut means = Vec::with_capacity(batches);
    let (mut sum, mut count) = (0.0, 0);
    let mut stream = Stream::new(11, "des-test", 0);
    server.serve(batches * per_batch, &mut stream, |sojourn| {
        sum += sojourn;
        count += 1;
        if count == per_batch {
            means.push(sum / per_batch as f64);
            (sum, count) = (0.0, 0);
        }
    });
    let mean = means.iter().sum::<f64>() / batches as f64;
    let variance = means.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (batches as f64 - 1.0);
    (mean, (variance / batches as f64).sqrt())
}

#[test]
fn one_core_is_the_closed_form_of_processor_sharing_whatever_the_distribution_of_work() {
    for work in [Work::Constant, Work::Exponential, Work::Lognormal(WORK_VARIATION)] {
        for utilization in [0.3, 0.7, 0.85] {
            let (mean, error) = mean_sojourn(Server { cores: 1.0, utilization, work }, 40, 10_000);
            let exact = 1.0 / (1.0 - utilization);
            assert!((mean - exact).abs() < 3.5 * error, "{work:?} at {utilization}: {mean} ± {error}, not {exact}");
            assert!(error < 0.05 * exact, "{work:?} at {utilization}: too few requests, ± {error}");
        }
    }
}

#[test]
fn several_cores_wait_as_long_as_erlang_says() {
    // One request uses at most one core, so the number inside is that of M/M/c, and by insensitivity of M/G/c-PS.
    for (cores, utilization) in [(2.0, 0.7), (4.0, 0.8)] {
        for work in [Work::Exponential, Work::Lognormal(WORK_VARIATION)] {
            let (mean, error) = mean_sojourn(Server { cores, utilization, work }, 40, 10_000);
            let exact = 1.0 + erlang_c(cores, utilization) / (cores * (1.0 - utilization));
            assert!((mean - exact).abs() < 3.5 * error, "{work:?} on {cores}: {mean} ± {error}, not {exact}");
        }
    }
}

#[test]
fn the_table_in_the_tree_is_what_a_fresh_simulation_finds() {
    const RUNS: usize = 12;
    for (cores, utilization) in [(1.0, 0.3), (1.0, 0.7), (1.0, 0.85), (2.0, 0.7), (4.0, 0.8), (16.0, 0.9)] {
        let runs: Vec<[f64; RATIOS]> = (0..RUNS)
            .map(|run| grid::simulate(cores, utilization, 20_000, &mut Stream::new(5, "table-test", run as u64)))
            .collect();
        let curve = curve(&ROWS, cores, utilization);
        let mut compared = 0;
        for (ratio, of_table) in curve.iter().map(|share| maths::exp(*share)).enumerate() {
            let mean = runs.iter().map(|run| run[ratio]).sum::<f64>() / RUNS as f64;
            let variance =
                runs.iter().map(|run| (run[ratio] - mean) * (run[ratio] - mean)).sum::<f64>() / (RUNS as f64 - 1.0);
            // Below one in two thousand too few are slow for an error to be estimated from twelve runs.
            if of_table < 5e-4 {
                continue;
            }
            compared += 1;
            let error = (variance / RUNS as f64).sqrt() + 2e-4;
            assert!(
                (mean - of_table).abs() < 4.0 * error,
                "{cores} cores at {utilization}, ratio {}: table {of_table}, simulated {mean} ± {error}",
                grid::ratio(ratio)
            );
        }
        assert!(compared >= 14, "{cores} cores at {utilization}: only {compared} ratios compared");
    }
}

#[test]
fn the_generator_makes_the_lines_that_are_in_the_tree() {
    let text = include_str!("table.csv");
    for index in [5, 4 * MEASURED.len() + 3] {
        let line =
            text.lines().filter(|line| !line.starts_with(['#', 'c'])).nth(index).expect("there are enough lines");
        assert_eq!(grid::line(index), line);
    }
}

#[test]
fn the_grid_is_whole_and_falls_with_the_ratio_and_rises_with_utilization() {
    let rows = grid::parse(include_str!("table.csv")).expect("the table can be read");
    for (index, row) in rows.iter().enumerate() {
        assert!(row.windows(2).all(|pair| pair[0] >= pair[1]), "row {index}");
    }
    // At about 20 times the work, where objectives are. Where nothing waits, a few hundred slow requests tell the share:
    // a tenth more or less is chance.
    let (cell, _) = place((maths::log2(20.0) - RATIO_LOG2_MIN) * RATIOS_PER_OCTAVE, RATIOS);
    for cores in rows.chunks(MEASURED.len()) {
        assert!(cores.windows(2).all(|pair| pair[0][cell] <= pair[1][cell] + 0.2));
    }
    assert_eq!(grid::parse("cores,utilization\n1,0.5,0.3\n"), None);
}

#[test]
fn small_pods_are_one_core_slowed_down() {
    // Half a core at an objective of 20 times the work is one core at 10 times.
    let (half, whole) = (LatencyTable::new(0.01, 0.2), LatencyTable::new(0.01, 0.1));
    for utilization in [0.2, 0.5, 0.8] {
        let (half, whole) = (half.share_over(0.5, utilization), whole.share_over(1.0, utilization));
        assert!((half / whole - 1.0).abs() < 1e-9, "{half} {whole}");
    }
    assert!(half.share_over(0.1, 0.5) > half.share_over(2.0, 0.5));
}

#[test]
fn quantile_meets_the_objective_where_the_share_does() {
    let table = LatencyTable::new(0.01, 0.2);
    assert!((table.at_quantile(0.99, 0.01, 1.0, 0.7) - 0.2).abs() < 1e-6);
    assert!(table.at_quantile(0.99, 0.02, 1.0, 0.7) > 0.2);
    assert!(table.at_quantile(0.99, 0.0, 1.0, 0.0) < 0.2);
    // The quantile of an undisturbed pod is that of the simulated curve.
    let share = table.share_over(1.0, 0.7);
    let latency = table.at_quantile(0.99, share, 1.0, 0.7);
    let again = LatencyTable::new(0.01, latency).share_over(1.0, 0.7);
    assert!((again / 0.01 - 1.0).abs() < 0.02, "{latency}: {again}");
}
