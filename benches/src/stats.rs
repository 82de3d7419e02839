//! What a few noisy samples allow to say.

/// The median; NaN of nothing.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// A bound that the median of the population stays below with a confidence of at least 95 %.
///
/// The k-th smallest of n samples is such a bound when a binomial of n fair coins is below k with
/// that probability, whatever the distribution (H. A. David, H. N. Nagaraja, "Order Statistics",
/// 3rd ed., section 7.1; W. J. Conover, "Practical Nonparametric Statistics", section 3.2). `None`
/// below five samples, which allow no such bound.
pub(crate) fn median_upper_95(samples: &[f64]) -> Option<f64> {
    let sorted = sorted(samples);
    let mut below = 0.0;
    let mut term = 0.5f64.powi(i32::try_from(sorted.len()).ok()?);
    for (index, sample) in sorted.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "counts of rounds are small")]
        let (taken, all) = (index as f64, sorted.len() as f64);
        below += term;
        if below >= 0.95 {
            return Some(*sample);
        }
        term *= (all - taken) / (taken + 1.0);
    }
    None
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(count: u32) -> Vec<f64> {
        (1..=count).rev().map(f64::from).collect()
    }

    #[test]
    fn medians() {
        assert!(median(&[]).is_nan());
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    /// The ranks stand in the tables of the sign test.
    #[test]
    fn upper_bounds_have_the_ranks_of_the_tables() {
        for (count, rank) in [(5, 5.0), (6, 6.0), (9, 8.0), (15, 12.0), (20, 15.0), (31, 21.0)] {
            assert_eq!(median_upper_95(&ladder(count)), Some(rank), "{count} samples");
        }
        assert_eq!(median_upper_95(&ladder(4)), None);
        assert_eq!(median_upper_95(&[]), None);
    }
}
