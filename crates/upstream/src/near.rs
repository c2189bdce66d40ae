//! Endpoints of the gateway's own cluster first, others when those are too few.

/// Which endpoints are near, and how many of them have to be well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// Their cluster, as instances of Nacos have it.
    pub cluster: String,
    /// While so much of their weight is well, in percent, they get all requests.
    pub min_percent: u32,
}

impl Near {
    /// The share of requests that stays near, when so much weight of `all` is well. Below the minimum it falls in proportion, so that those
    /// which are left get no more each than at the minimum.
    pub(crate) fn stays(&self, well: f64, all: f64) -> f64 {
        let needed = all * f64::from(self.min_percent) / 100.0;
        match needed > 0.0 {
            true => (well / needed).min(1.0),
            false => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_while_enough_is_well_and_leave_in_proportion() {
        let near = |min_percent| Near {
            cluster: "hz".to_owned(),
            min_percent,
        };
        for (min_percent, well, all, stays) in [
            (50, 4.0, 4.0, 1.0),
            (50, 2.0, 4.0, 1.0),
            (50, 1.0, 4.0, 0.5),
            (50, 0.0, 4.0, 0.0),
            (50, 0.0, 0.0, 0.0),
            (100, 3.0, 4.0, 0.75),
            (1, 1.0, 50.0, 1.0),
        ] {
            let found = near(min_percent).stays(well, all);
            assert_eq!(found, stays, "{min_percent} {well} of {all}");
        }
    }
}
