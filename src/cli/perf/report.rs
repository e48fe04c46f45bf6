//! The figures of a test, in nng's lines or as JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// What a test found out.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) total: Duration,
    pub(super) size: u32,
    /// Round trips made, or messages that arrived.
    pub(super) count: u32,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// With the times of all round trips in nanoseconds, where they were taken.
    Latency(Option<Histogram<u64>>),
    Throughput,
}

impl Report {
    /// The lines that nng's tools print.
    pub(super) fn text(&self) -> String {
        let seconds = self.total.as_secs_f64();
        let head = format!(
            "total time: {seconds:.3} [s]\nmessage size: {} [B]\n",
            self.size
        );
        match self.kind {
            Kind::Latency(_) => format!(
                "{head}round trip count: {}\naverage latency: {:.3} [us]\n",
                self.count,
                self.average_us()
            ),
            Kind::Throughput => format!(
                "{head}message count: {}\nthroughput: {:.0} [msg/s]\nthroughput: {:.3} [Mb/s]\n",
                self.count,
                self.rate(),
                self.megabits()
            ),
        }
    }

    /// The same figures as one JSON object on a line. A latency is half a round trip.
    pub(super) fn json(&self) -> String {
        let mut object = json!({
            "total_s": self.total.as_secs_f64(),
            "message_size": self.size,
        });
        let mut put = |name: &str, value: Value| object[name] = value;
        match &self.kind {
            Kind::Latency(times) => {
                put("round_trips", self.count.into());
                put("average_us", self.average_us().into());
                for (name, quantile) in [
                    ("p50_us", 0.5),
                    ("p90_us", 0.9),
                    ("p99_us", 0.99),
                    ("p99.9_us", 0.999),
                    ("max_us", 1.0),
                ] {
                    if let Some(times) = times {
                        let round_trip = times.value_at_quantile(quantile);
                        put(name, (round_trip as f64 / 2000.0).into());
                    }
                }
            }
            Kind::Throughput => {
                put("messages", self.count.into());
                put("messages_per_s", self.rate().into());
                put("megabits_per_s", self.megabits().into());
            }
        }
        format!("{object}\n")
    }

    fn average_us(&self) -> f64 {
        ratio(self.total.as_secs_f64() * 1e6, f64::from(self.count) * 2.0)
    }

    fn rate(&self) -> f64 {
        ratio(f64::from(self.count), self.total.as_secs_f64())
    }

    /// Of 2^20 bits each, as nng has it.
    fn megabits(&self) -> f64 {
        self.rate() * 8.0 * f64::from(self.size) / f64::from(1 << 20)
    }
}

/// 0 where there was nothing to measure, which JSON can express and infinity it cannot.
fn ratio(dividend: f64, divisor: f64) -> f64 {
    if divisor > 0.0 {
        dividend / divisor
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: Kind) -> Report {
        Report {
            total: Duration::from_millis(1500),
            size: 1024,
            count: 3000,
            kind,
        }
    }

    #[test]
    fn latency_prints_nngs_lines() {
        assert_eq!(
            report(Kind::Latency(None)).text(),
            "total time: 1.500 [s]\nmessage size: 1024 [B]\nround trip count: 3000\naverage latency: 250.000 [us]\n"
        );
    }

    #[test]
    fn throughput_prints_nngs_lines() {
        assert_eq!(
            report(Kind::Throughput).text(),
            "total time: 1.500 [s]\nmessage size: 1024 [B]\nmessage count: 3000\n\
             throughput: 2000 [msg/s]\nthroughput: 15.625 [Mb/s]\n"
        );
    }

    #[test]
    fn json_has_the_percentiles_of_one_way() {
        let mut times = Histogram::new(3).unwrap();
        for microseconds in 1..=1000 {
            times.record(2000 * microseconds).unwrap();
        }
        let text = report(Kind::Latency(Some(times))).json();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["average_us"], 250.0);
        for (name, expected) in [
            ("p50_us", 500.0),
            ("p90_us", 900.0),
            ("p99_us", 990.0),
            ("p99.9_us", 999.0),
            ("max_us", 1000.0),
        ] {
            let found = value[name].as_f64().unwrap();
            assert!((found / expected - 1.0).abs() < 0.002, "{name}: {found}");
        }
    }

    #[test]
    fn nothing_measured_is_still_json() {
        let mut empty = report(Kind::Throughput);
        (empty.total, empty.count) = (Duration::ZERO, 0);
        let value: Value = serde_json::from_str(&empty.json()).unwrap();
        assert_eq!(value["messages_per_s"], 0.0);
    }
}
