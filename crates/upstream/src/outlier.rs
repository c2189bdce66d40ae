//! Which endpoints do worse than the others of their service: by the share of requests that went well, and by the time to an answer.
//!
//! The rule for the share is Envoy's (outlier detection, success rate): below the mean by more than a number of standard deviations of
//! the population. With five endpoints, of which four are without fault, a single failed request is two standard deviations. So an
//! outlier must be worse by a least difference as well.

use std::time::Duration;

use pailou_config::EjectionSettings;

use crate::standing::Failure;
use crate::tally::Counted;

/// An endpoint that is less than so many percentage points below the mean is like the others.
const LEAST_POINTS: f64 = 5.0;
/// An endpoint that is slower by less than this is like the others, whatever the ratio.
const LEAST_TIME: Duration = Duration::from_millis(5);

/// An endpoint that is out of line.
#[derive(Clone, Debug)]
pub(crate) struct Outlier<K> {
    /// Which endpoint.
    pub(crate) who: K,
    pub(crate) failure: Failure,
    /// What was measured, for people.
    pub(crate) evidence: String,
    /// How far beyond the limit: the worst is ejected first.
    excess: f64,
}

/// Whether an endpoint had enough requests to be compared.
pub(crate) fn is_comparable(counted: Counted, settings: &EjectionSettings) -> bool {
    counted.requests() >= settings.outlier_min_requests
}

/// The outliers among comparable endpoints, the worst first; none where there are too few to compare.
pub(crate) fn outliers<K: Copy>(
    endpoints: &[(K, Counted)],
    settings: &EjectionSettings,
) -> Vec<Outlier<K>> {
    if endpoints.len() < settings.outlier_min_endpoints as usize {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Some(deviations) = settings.success_rate {
        found.extend(failing(endpoints, deviations));
    }
    if let Some(times) = settings.latency {
        found.extend(slow(endpoints, times));
    }
    found.sort_by(|a, b| b.excess.total_cmp(&a.excess));
    found
}

fn failing<K: Copy>(endpoints: &[(K, Counted)], deviations: f64) -> Vec<Outlier<K>> {
    let rates = || endpoints.iter().map(|(_, it)| it.success_percent());
    let count = endpoints.len() as f64;
    let mean = rates().sum::<f64>() / count;
    let variance = rates().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    let limit = (mean - deviations * variance.sqrt()).min(mean - LEAST_POINTS);
    let outlier = |(who, counted): &(K, Counted)| {
        let rate = counted.success_percent();
        (rate < limit).then(|| Outlier {
            who: *who,
            failure: Failure::SuccessRate,
            evidence: format!(
                "{rate:.1} % of {} requests went well, {mean:.1} % on the service's average",
                counted.requests()
            ),
            excess: (100.0 - rate) / (100.0 - limit),
        })
    };
    endpoints.iter().filter_map(outlier).collect()
}

fn slow<K: Copy>(endpoints: &[(K, Counted)], times: f64) -> Vec<Outlier<K>> {
    let medians: Vec<(usize, Duration)> = endpoints
        .iter()
        .enumerate()
        .filter_map(|(index, (_, counted))| Some((index, counted.median?)))
        .collect();
    let outlier = |(index, own): &(usize, Duration)| {
        let others = median_of(medians.iter().filter(|(other, _)| other != index))?;
        let limit = others.mul_f64(times).max(others + LEAST_TIME);
        (*own > limit).then(|| Outlier {
            who: endpoints[*index].0,
            failure: Failure::Latency,
            evidence: format!(
                "{} ms to an answer (median), {} ms at the others",
                own.as_millis(),
                others.as_millis()
            ),
            excess: own.as_secs_f64() / limit.as_secs_f64(),
        })
    };
    medians.iter().filter_map(outlier).collect()
}

/// The median of medians; of an even number, the lower of the middle two.
fn median_of<'a>(medians: impl Iterator<Item = &'a (usize, Duration)>) -> Option<Duration> {
    let mut sorted: Vec<Duration> = medians.map(|(_, median)| *median).collect();
    sorted.sort_unstable();
    let middle = sorted.len().checked_sub(1)? / 2;
    sorted.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(settings: &EjectionSettings, percents: &[u32]) -> Vec<usize> {
        let counted = |(index, percent): (usize, &u32)| {
            let (well, ill) = (*percent, 100 - *percent);
            let median = None;
            (index, Counted { well, ill, median })
        };
        let endpoints: Vec<_> = percents.iter().enumerate().map(counted).collect();
        let found = outliers(&endpoints, settings);
        found.into_iter().map(|outlier| outlier.who).collect()
    }

    #[test]
    fn the_share_of_success_is_held_against_the_mean_and_the_deviation() {
        let settings = EjectionSettings {
            success_rate: Some(1.9),
            ..EjectionSettings::default()
        };
        for (percents, expected) in [
            (&[100, 100, 100, 100, 70][..], &[4][..]),
            (&[100, 98, 99, 100, 70], &[4]),
            // All the same, however bad.
            (&[50; 5], &[]),
            (&[0; 8], &[]),
            // Two standard deviations below, but only by four requests of a hundred.
            (&[100, 100, 100, 100, 96], &[]),
            // Two of five: the deviation is too large to tell who is right.
            (&[100, 100, 100, 70, 70], &[]),
            // Two of twelve.
            (
                &[100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 60, 50],
                &[11, 10],
            ),
            // Too few.
            (&[100, 100, 100, 0], &[]),
            (&[], &[]),
        ] {
            assert_eq!(rates(&settings, percents), expected, "{percents:?}");
        }
        let off = EjectionSettings::default();
        assert!(rates(&off, &[100, 100, 100, 100, 0]).is_empty());
    }

    #[test]
    fn a_median_is_held_against_that_of_the_others() {
        let settings = EjectionSettings {
            latency: Some(3.0),
            ..EjectionSettings::default()
        };
        for (milliseconds, expected) in [
            (&[10, 10, 10, 10, 40][..], &[4][..]),
            (&[10, 10, 10, 10, 29], &[]),
            (&[10, 11, 40, 12, 90], &[4, 2]),
            // One of them is the outlier, and not the others that are held against it.
            (&[500, 10, 10, 10, 10], &[0]),
            // Three times as slow, and nobody notices.
            (&[1, 1, 1, 1, 5], &[]),
            (&[10, 10, 10, 90], &[]),
        ] {
            let counted = |(index, milliseconds): (usize, &u64)| {
                let median = Some(Duration::from_millis(*milliseconds));
                let counted = Counted {
                    well: 100,
                    ill: 0,
                    median,
                };
                (index, counted)
            };
            let endpoints: Vec<_> = milliseconds.iter().enumerate().map(counted).collect();
            let found = outliers(&endpoints, &settings);
            let found: Vec<usize> = found.iter().map(|outlier| outlier.who).collect();
            assert_eq!(found, expected, "{milliseconds:?}");
        }
    }
}
