//! Medians, ranges and ratios.

use serde::Serialize;

/// Several measurements of the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The middle one, or half way between the two in the middle.
    pub(crate) median: f64,
    /// The least of them.
    pub(crate) least: f64,
    /// The most of them.
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one measurement; `None` of none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(lower, upper), least, most })
    }

    /// As "0.45 (0.40 to 0.51)", with so many digits behind the point.
    pub(crate) fn text(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.least, self.most)
    }
}

/// One against the other, round by round: what disturbs a round disturbs both.
pub(crate) fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).filter(|(_, to)| **to > 0.0).map(|(of, to)| of / to).collect()
}

/// How much more the largest size needs than the smallest, by what each of them needed; `None` if there are no two sizes.
pub(crate) fn growth(needed: &[(u64, f64)]) -> Option<f64> {
    let (small, least) = needed.iter().min_by_key(|(size, _)| *size)?;
    let (large, most) = needed.iter().max_by_key(|(size, _)| *size)?;
    (large > small && *least > 0.0).then(|| most / least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        for (values, expected) in [
            (&[3.0][..], Some((3.0, 3.0, 3.0))),
            (&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0))),
            (&[4.0, 1.0, 2.0, 9.0], Some((3.0, 1.0, 9.0))),
            (&[], None),
        ] {
            let found = Spread::of(values).map(|it| (it.median, it.least, it.most));
            assert_eq!(found, expected, "{values:?}");
        }
        assert_eq!(Spread::of(&[0.5, 0.25, 1.0]).unwrap().text(2), "0.50 (0.25 to 1.00)");
    }

    #[test]
    fn ratios_are_those_of_each_round() {
        assert_eq!(ratios(&[1.0, 4.0, 9.0], &[2.0, 2.0]), [0.5, 2.0]);
        assert_eq!(ratios(&[1.0], &[0.0]), [0.0; 0], "nothing can be said against nothing");
    }

    #[test]
    fn growth_is_the_largest_against_the_smallest() {
        for (needed, expected) in [
            (&[(1_000, 50.0), (100_000, 75.0)][..], Some(1.5)),
            (&[(100_000, 75.0), (10_000, 1.0), (1_000, 50.0)], Some(1.5)),
            (&[(1_000, 100.0), (100_000, 50.0)], Some(0.5)),
            (&[(1_000, 50.0)], None),
            (&[(1_000, 50.0), (1_000, 60.0)], None),
            (&[(1_000, 0.0), (2_000, 60.0)], None),
            (&[], None),
        ] {
            assert_eq!(growth(needed), expected, "{needed:?}");
        }
    }
}
