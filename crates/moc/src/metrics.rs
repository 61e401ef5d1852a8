//! What the program counts while it runs, in Prometheus' text format.
//!
//! Labels are bounded: templates of paths, classes of status, states and hardware families; never
//! a tenant, a device or a deployment.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Counters of one program.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, &'static str, &'static str), Taken>>,
}

/// How many requests there were, and how long they took.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    within: [u64; BUCKETS_MS.len()],
    count: u64,
    sum_ms: u64,
}

/// Something that is measured when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// Labels and the value for each.
    pub(crate) values: Vec<(Vec<(&'static str, String)>, u64)>,
}

impl Metrics {
    /// Counts a request.
    pub(crate) fn request(&self, path: &str, method: &str, status: u16, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = requests.entry((path.to_owned(), known(method), class(status))).or_default();
        for (bound, within) in BUCKETS_MS.iter().zip(&mut taken.within) {
            *within += u64::from(took_ms <= *bound);
        }
        taken.count += 1;
        taken.sum_ms = taken.sum_ms.saturating_add(took_ms);
    }

    /// Everything, as a scraper reads it.
    pub(crate) fn text(&self, gauges: &[Gauge]) -> String {
        let mut text = String::from(
            "# HELP tamarack_http_request_seconds Time that requests took.\n\
             # TYPE tamarack_http_request_seconds histogram\n",
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((path, method, class), taken) in &*requests {
            let labels = format!("path=\"{path}\",method=\"{method}\",status=\"{class}\"");
            let name = "tamarack_http_request_seconds";
            for (bound, within) in BUCKETS_MS.iter().zip(taken.within) {
                let bound = seconds(*bound);
                let _ok = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {within}");
            }
            let _ok = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", taken.count);
            let _ok = writeln!(text, "{name}_sum{{{labels}}} {}", seconds(taken.sum_ms));
            let _ok = writeln!(text, "{name}_count{{{labels}}} {}", taken.count);
        }
        for Gauge { name, help, values } in gauges {
            let _ok = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in values {
                let labels: Vec<String> =
                    labels.iter().map(|(label, said)| format!("{label}=\"{said}\"")).collect();
                let labels = match labels.is_empty() {
                    true => String::new(),
                    false => format!("{{{}}}", labels.join(",")),
                };
                let _ok = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}

/// Methods are free to invent.
fn known(method: &str) -> &'static str {
    let methods = ["DELETE", "GET", "HEAD", "POST", "PUT"];
    methods.into_iter().find(|known| *known == method).unwrap_or("other")
}

const fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Upper bounds of the histogram.
const BUCKETS_MS: [u64; 10] = [1, 5, 10, 25, 50, 100, 500, 1_000, 5_000, 30_000];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_template_method_and_class_in_cumulative_buckets() {
        let metrics = Metrics::default();
        metrics.request("/v1/devices/{device}", "GET", 200, Duration::from_millis(7));
        metrics.request("/v1/devices/{device}", "GET", 204, Duration::from_millis(700));
        metrics.request("/tam", "BREW", 405, Duration::ZERO);
        let gauges = [Gauge {
            name: "tamarack_devices",
            help: "Devices.",
            values: vec![(vec![("state", "attested".into())], 3)],
        }];

        let text = metrics.text(&gauges);

        let labels = "path=\"/v1/devices/{device}\",method=\"GET\",status=\"2xx\"";
        for line in [
            format!("tamarack_http_request_seconds_bucket{{{labels},le=\"0.005\"}} 0"),
            format!("tamarack_http_request_seconds_bucket{{{labels},le=\"0.010\"}} 1"),
            format!("tamarack_http_request_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("tamarack_http_request_seconds_sum{{{labels}}} 0.707"),
            "tamarack_devices{state=\"attested\"} 3".to_owned(),
        ] {
            assert!(text.lines().any(|each| each == line), "{line} not in {text}");
        }
        assert!(text.contains("method=\"other\",status=\"4xx\""));
    }
}
