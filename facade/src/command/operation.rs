//! What a process that works on jobs needs besides the files: settings of the runner, what sends results, who decides.

use std::sync::Arc;

use vestibule_core::{
    ports::Returner,
    runner::{Retention, RunnerSettings, Threshold},
};

use super::{Stop, outset};
use crate::{
    adapters::{self, Poster},
    config::Config,
    house::House,
    operators::Operators,
    posting,
};

/// What a process that works on jobs needs.
pub struct Operation {
    /// Settings of its runner.
    pub settings: RunnerSettings,
    /// What sends results, besides connections.
    pub returners: Vec<Arc<dyn Returner>>,
    /// Who decides.
    pub operators: Operators,
}

impl Operation {
    /// Takes the secrets that the configuration names from the environment; all that are missing are said at once.
    pub fn of(config: &Config, house: &House) -> Result<Self, Stop> {
        let mut wrong = Vec::new();
        let mut signing = |name: Option<&String>| {
            let name = name?;
            let secret = outset::secrets(name);
            match &secret {
                None => wrong.push(format!("the environment has no `{name}`")),
                Some(secret) if !adapters::can_sign(secret) => {
                    wrong.push(format!(
                        "`{name}` is no secret to sign with: Base64, with or without `whsec_` before it"
                    ));
                }
                Some(_) => {}
            }
            secret
        };
        let usual = signing(config.callbacks.secret.as_ref());
        let call = config.thresholds.call.as_ref().map(|it| (it.url.clone(), signing(it.secret.as_ref())));
        let operators = Operators::read(&config.operators, &outset::secrets).unwrap_or_else(|missing| {
            wrong.extend(missing.iter().map(|name| format!("the environment has no `{name}`")));
            Operators::default()
        });
        if !wrong.is_empty() {
            return Err(Stop::wrong_use(format!("vestibule.yaml: {}", wrong.join("; "))));
        }
        let poster = Poster::default();
        let mut settings = settings(config, house);
        settings.alarm = call.map(|(url, secret)| posting::alarm(poster.clone(), url, secret));
        let callbacks = poster.callbacks(outset::secrets, config.callbacks.secret.clone());
        let replies = posting::SoapReplies::new(house.services.clone(), poster, usual);
        Ok(Self { settings, returners: vec![callbacks, Arc::new(replies)], operators })
    }
}

fn settings(config: &Config, house: &House) -> RunnerSettings {
    let mut settings = RunnerSettings { most_calls: config.limits.calls, ..RunnerSettings::default() };
    for flow in house.flows.iter().map(|it| &it.mapping.name) {
        let kept = config.retention.of(flow);
        if kept != Default::default() {
            let (finished, dead) = (kept.finished, kept.dead);
            settings.retention.push(Retention { flow: Arc::clone(flow), finished, dead });
        }
        let much = config.thresholds.of(flow);
        if much != Default::default() {
            settings.thresholds.push(Threshold {
                flow: Arc::clone(flow),
                age: much.age,
                depth: much.depth,
                dead: much.dead,
                undelivered: much.undelivered,
                shed: much.shed,
            });
        }
    }
    settings
}
