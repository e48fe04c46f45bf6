//! The figures, for people and as JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use super::Command;

const MB: f64 = 1_048_576.0;
const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

/// What was measured.
pub(super) struct Figures {
    pub(super) messages: u64,
    pub(super) duration: Duration,
    /// Whether the payloads are long enough for the broker to have them compressed, which makes random ones no shorter.
    pub(super) compress: bool,
    /// Of the answers, in nanoseconds; of none if there were no answers.
    pub(super) times: Histogram<u64>,
}

impl Figures {
    pub(super) fn text(&self, command: &Command) -> String {
        let lines = [
            ("Messages", self.messages.to_string()),
            ("Payload", format!("{} KB", command.size.0 as f64 / 1024.0)),
            ("Encryption", switch(command.security.encrypts()).into()),
            ("Compression", switch(self.compress).into()),
            ("Connections", command.connections.to_string()),
            ("Duration", format!("{:.1} s", self.duration.as_secs_f64())),
            ("Total", format!("{:.1} MB", self.bytes(command) / MB)),
            (
                "Messages/s",
                format!("{:.0} msg/s", self.per_second(self.messages as f64)),
            ),
            (
                "Throughput",
                format!("{:.1} MB/s", self.per_second(self.bytes(command) / MB)),
            ),
        ];
        let mut text: String = lines
            .iter()
            .map(|(name, value)| format!("{:13}{value}\n", format!("{name}:")))
            .collect();
        if !self.times.is_empty() {
            let times = QUANTILES
                .map(|(name, quantile)| format!("{name} {:.1} us", self.microseconds(quantile)));
            text += &format!("{:13}{}\n", "Latency:", times.join(", "));
        }
        text
    }

    pub(super) fn json(&self, command: &Command) -> String {
        let mut object = json!({
            "message-count": self.messages,
            "message-size": command.size.0,
            "duration-millis": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            "total-bytes-sent": self.messages.saturating_mul(command.size.0 as u64),
            "throughput-msgs": self.per_second(self.messages as f64),
            "throughput-MB": self.per_second(self.bytes(command) / MB),
            "encrypt": command.security.encrypts(),
            "compress": self.compress,
            "oneway": command.oneway,
            "connections": command.connections,
        });
        if !self.times.is_empty() {
            let times = QUANTILES
                .map(|(name, quantile)| (name.to_owned(), self.microseconds(quantile).into()));
            object["latency-us"] = serde_json::Value::Object(times.into_iter().collect());
        }
        format!("{object}\n")
    }

    /// Only what clients sent, and of that only the payload.
    fn bytes(&self, command: &Command) -> f64 {
        self.messages as f64 * command.size.0 as f64
    }

    fn per_second(&self, amount: f64) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 { amount / seconds } else { 0.0 }
    }

    fn microseconds(&self, quantile: f64) -> f64 {
        self.times.value_at_quantile(quantile) as f64 / 1e3
    }
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
