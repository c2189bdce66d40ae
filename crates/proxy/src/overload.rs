//! Sheds requests of less priority when more wait for their answers than can be served well.
//!
//! A bound on requests that wait keeps goodput where it is at the highest load that is served well (Little's law: what waits is what
//! comes in times how long it takes). What is beyond it is answered at once, before any step of its route, which costs little.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use pailou_config::OverloadSettings;
use pailou_filters::Priority;
use pailou_telemetry::{Metrics, RequestWaiting};

/// The bounds, compiled.
#[derive(Debug)]
pub(crate) struct Overload {
    /// How many may wait before a request of that priority: low, normal, high.
    most: [u64; 3],
    header: Option<HeaderName>,
    metrics: Metrics,
}

impl Overload {
    /// What the settings say; nothing where no request is shed.
    pub(crate) fn of(settings: &OverloadSettings, metrics: &Metrics) -> Option<Arc<Overload>> {
        let requests = u64::from(settings.requests?);
        let share = |percent: u32| (requests * u64::from(percent) / 100).max(1);
        Some(Arc::new(Overload {
            most: [
                share(settings.low_percent),
                share(settings.normal_percent),
                requests,
            ],
            header: settings
                .priority_header
                .as_ref()
                .and_then(|name| name.parse().ok()),
            metrics: metrics.clone(),
        }))
    }

    /// Lets a request of a route in, or not. It is counted as waiting until what is returned is dropped.
    ///
    /// Cost: a counter that all requests share.
    pub(crate) fn admit(&self, route: Priority, headers: &HeaderMap) -> Option<RequestWaiting> {
        let priority = self.priority(route, headers);
        let waiting = self.metrics.request_waits();
        if waiting.others() < self.most[priority as usize] {
            return Some(waiting);
        }
        self.metrics.request_shed(priority.word());
        None
    }

    /// A request's priority is its route's, or less if it says so itself.
    fn priority(&self, route: Priority, headers: &HeaderMap) -> Priority {
        let said = self.header.as_ref().and_then(|name| headers.get(name));
        let said = said.and_then(|value| Priority::parse(value.as_bytes()));
        said.map_or(route, |said| said.min(route))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn overload() -> Arc<Overload> {
        let settings = OverloadSettings {
            requests: Some(10),
            priority_header: Some("x-priority".to_owned()),
            ..OverloadSettings::default()
        };
        Overload::of(&settings, &Metrics::new()).expect("there is a bound")
    }

    #[test]
    fn the_less_a_request_matters_the_earlier_it_is_shed() {
        for (priority, expected) in [
            (Priority::Low, 7),
            (Priority::Normal, 9),
            (Priority::High, 10),
        ] {
            let (overload, none) = (overload(), HeaderMap::new());
            let admit = || overload.admit(priority, &none);
            let waiting: Vec<_> = std::iter::from_fn(admit).collect();
            assert_eq!(waiting.len(), expected, "{priority:?}");
            assert!(admit().is_none());
            // Who matters more still gets in.
            let more = overload.admit(Priority::High, &none).is_some();
            assert_eq!(more, expected < 10);
            drop(waiting);
            assert!(admit().is_some(), "there is room again");
            let text = overload.metrics.render();
            let word = priority.word();
            let times = if more { 2 } else { 3 };
            let shed = format!("pailou_requests_shed_total{{priority=\"{word}\"}} {times}");
            assert!(text.contains(&shed), "{text}");
        }
    }

    #[test]
    fn a_request_may_only_say_that_it_matters_less() {
        let overload = overload();
        for (route, said, expected) in [
            (Priority::Normal, "low", Priority::Low),
            (Priority::Normal, "high", Priority::Normal),
            (Priority::High, "Normal", Priority::Normal),
            (Priority::Low, "high", Priority::Low),
            (Priority::High, "urgent", Priority::High),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-priority", HeaderValue::from_static(said));
            assert_eq!(overload.priority(route, &headers), expected, "{said}");
        }
    }

    #[test]
    fn without_a_bound_nothing_is_shed() {
        let settings = OverloadSettings::default();
        assert!(Overload::of(&settings, &Metrics::new()).is_none());
    }
}
