//! `/metrics`: what the runner counts, as Prometheus reads it (OpenMetrics text). Labels are names of flows, sources,
//! states, outcomes and codes: never a key, a ticket or a value of a document.

use std::fmt;

use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};
use vestibule_core::{
    job::Census,
    runner::{Durations, Figures, FlowFigures, SourceFigures},
};

use super::answer::{self, Answer};
use crate::house::Front;

/// Media type of the text.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that was counted.
pub fn answer(front: &Front) -> Answer {
    let snapshot = Snapshot {
        figures: front.runner.figures(),
        census: front.runner.census().to_vec(),
        passed: front.runner.alerts().iter().map(|it| (it.flow.to_string(), it.measure.word())).collect(),
        is_draining: front.is_draining(),
        now: Timestamp::now(),
    };
    answer::with(StatusCode::OK, MEDIA_TYPE, Bytes::from(snapshot.text()))
}

/// All numbers at one time.
#[derive(Debug, Clone)]
struct Snapshot {
    figures: Figures,
    census: Vec<Census>,
    /// Thresholds that are passed: the flow and the measure's word.
    passed: Vec<(String, &'static str)>,
    is_draining: bool,
    now: Timestamp,
}

impl Snapshot {
    fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.documents(&mut out)?;
        self.work(&mut out)?;
        self.waiting(&mut out)?;
        self.sources(&mut out)?;
        out.gauges(
            "vestibule_draining",
            "1 while the process takes no more work",
            [(vec![], u64::from(self.is_draining))],
        )
    }
}

/// The labels of one number.
type Labels<'l> = Vec<(&'static str, &'l str)>;

impl Snapshot {
    fn documents(&self, out: &mut Out<'_>) -> fmt::Result {
        let flows = &self.figures.flows;
        out.of_flows("vestibule_documents_accepted", "Documents that were accepted", flows, |it| {
            it.accepted
        })?;
        out.of_flows("vestibule_documents_repeated", "Documents known already", flows, |it| it.duplicates)?;
        let refused = flows.iter().flat_map(|it| {
            let labels = |reason| vec![("flow", &*it.flow), ("reason", reason)];
            [(labels("busy"), it.busy), (labels("conflict"), it.conflicts)]
        });
        out.counters("vestibule_documents_refused", "Documents that were not accepted", refused)?;
        let ended = flows.iter().flat_map(|it| {
            it.ended.iter().map(|(word, count)| (vec![("flow", &*it.flow), ("outcome", *word)], *count))
        });
        out.counters("vestibule_documents_ended", "Documents that ended with a result", ended)?;
        let faults = flows.iter().flat_map(|it| {
            it.faults.iter().map(|(code, count)| (vec![("flow", &*it.flow), ("code", *code)], *count))
        });
        out.counters("vestibule_faults", "Faults in the work on documents", faults)?;
        out.of_flows("vestibule_retries", "Jobs that were put back to be tried again", flows, |it| {
            it.retries
        })?;
        out.of_flows("vestibule_jobs_given_up", "Jobs that were given up", flows, |it| it.dead)?;
        out.of_flows("vestibule_reviews", "Jobs that were left to a person", flows, |it| it.reviews)?;
        out.of_flows("vestibule_deliveries", "Results that the other side took", flows, |it| it.delivered)?;
        let help = "Tries to hand a result back that failed";
        out.of_flows("vestibule_delivery_failures", help, flows, |it| it.delivery_failures)
    }

    fn work(&self, out: &mut Out<'_>) -> fmt::Result {
        let flows = &self.figures.flows;
        out.histograms("vestibule_work_duration_seconds", "Time of the work on a document", flows)?;
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let each = |read: fn(&FlowFigures) -> usize| {
            flows.iter().map(move |it| (vec![("flow", &*it.flow)], number(read(it))))
        };
        out.gauges(
            "vestibule_work_slots",
            "Documents that are worked on at once, at most",
            each(|it| it.width),
        )?;
        out.gauges("vestibule_work_slots_busy", "Documents that are worked on", each(|it| it.busy_now))?;
        out.gauges(
            "vestibule_work_waiting",
            "Documents that wait for room in this process",
            each(|it| it.waiting),
        )?;
        let shedding = flows.iter().map(|it| (vec![("flow", &*it.flow)], u64::from(it.is_shedding)));
        out.gauges(
            "vestibule_shedding",
            "1 while new work is refused because a threshold is passed",
            shedding,
        )?;
        let passed = self
            .passed
            .iter()
            .map(|(flow, measure)| (vec![("flow", flow.as_str()), ("measure", *measure)], 1));
        out.gauges("vestibule_threshold_passed", "1 for each threshold that is passed", passed)
    }

    /// What the store holds. Flows of which nothing waits have zeros, so that an alert ends.
    fn waiting(&self, out: &mut Out<'_>) -> fmt::Result {
        let idle = Census::default();
        let flows = &self.figures.flows;
        let counted = |flow: &str| self.census.iter().find(|it| &*it.flow == flow);
        let served = flows.iter().map(|it| (&*it.flow, counted(&it.flow).unwrap_or(&idle)));
        let others = self.census.iter().filter(|it| !flows.iter().any(|flow| flow.flow == it.flow));
        let all: Vec<(&str, &Census)> = served.chain(others.map(|it| (&*it.flow, it))).collect();
        let jobs = all.iter().flat_map(|(flow, census)| {
            let labels = |state| vec![("flow", *flow), ("state", state)];
            [
                (labels("queued"), census.queued),
                (labels("leased"), census.leased),
                (labels("in-review"), census.in_review),
                (labels("dead"), census.dead),
            ]
        });
        out.gauges("vestibule_jobs", "Jobs in the store that are not finished, or dead", jobs)?;
        let undelivered = all.iter().map(|(flow, census)| (vec![("flow", *flow)], census.undelivered));
        out.gauges("vestibule_results_undelivered", "Results that are to be handed back", undelivered)?;
        let ages = all.iter().map(|(flow, census)| {
            let age = census.oldest.map_or(0, |it| self.now.as_second().saturating_sub(it.as_second()));
            (vec![("flow", *flow)], u64::try_from(age).unwrap_or(0))
        });
        out.gauges(
            "vestibule_oldest_job_age_seconds",
            "Age of the oldest job that is queued or worked on",
            ages,
        )
    }

    fn sources(&self, out: &mut Out<'_>) -> fmt::Result {
        let each = |read: fn(&SourceFigures) -> u64| {
            let labels = |it| -> Labels<'_> {
                let it: &SourceFigures = it;
                vec![("flow", &*it.flow), ("source", it.name.as_str())]
            };
            self.figures.sources.iter().map(move |it| (labels(it), read(it)))
        };
        out.gauges("vestibule_source_up", "1 while the source is open", each(|it| u64::from(it.is_up)))?;
        out.gauges(
            "vestibule_source_stopped",
            "1 while the source can not go on before somebody does something",
            each(|it| u64::from(it.stopped.is_some())),
        )?;
        out.gauges(
            "vestibule_source_held",
            "1 while the source is not read because too many jobs are in the queue",
            each(|it| u64::from(it.is_held)),
        )?;
        out.counters(
            "vestibule_source_reconnects",
            "How often it was opened again",
            each(|it| it.reconnects),
        )?;
        out.counters(
            "vestibule_source_documents",
            "Documents received, repeated ones included",
            each(|it| it.received),
        )
    }
}

/// Where numbers are written.
struct Out<'e>(DescriptorEncoder<'e>);

impl Out<'_> {
    fn of_flows(
        &mut self,
        name: &str,
        help: &str,
        flows: &[FlowFigures],
        read: fn(&FlowFigures) -> u64,
    ) -> fmt::Result {
        self.counters(name, help, flows.iter().map(|it| (vec![("flow", &*it.flow)], read(it))))
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn histograms(&mut self, name: &str, help: &str, flows: &[FlowFigures]) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for flow in flows {
            let times = &flow.duration;
            let bounds = Durations::BOUNDS.into_iter().chain(std::iter::once(f64::INFINITY));
            let buckets: Vec<(f64, u64)> = bounds.zip(times.counts).collect();
            let labels: Labels<'_> = vec![("flow", &*flow.flow)];
            let mut one = family.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(times.sum, times.count(), &buckets, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_text_that_prometheus_reads() {
        let mut counts = [0; 14];
        counts[0] = 2;
        counts[13] = 1;
        let flow = FlowFigures {
            flow: "claims".into(),
            accepted: 3,
            ended: vec![("pass", 2), ("reject", 1)],
            faults: vec![("V009", 4)],
            duration: Durations { counts, sum: 70.5 },
            width: 16,
            ..FlowFigures::default()
        };
        let source = SourceFigures {
            name: "amqp broker a\"b".into(),
            flow: "claims".into(),
            is_up: true,
            reconnects: 1,
            received: 9,
            ..SourceFigures::default()
        };
        let now = Timestamp::from_second(1_000).unwrap();
        let census = Census {
            flow: "gone".into(),
            queued: 5,
            undelivered: 2,
            oldest: Timestamp::from_second(940).ok(),
            ..Census::default()
        };
        let text = Snapshot {
            figures: Figures { flows: vec![flow], sources: vec![source] },
            census: vec![census],
            passed: vec![("claims".into(), "age")],
            is_draining: false,
            now,
        }
        .text();
        insta::assert_snapshot!(text);
        assert!(text.ends_with("# EOF\n"));
    }
}
