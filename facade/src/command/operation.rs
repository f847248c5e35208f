//! What a process that works on jobs needs besides the files: settings of the runner, what sends results, who decides.

use std::sync::Arc;

use vestibule_core::{
    ports::Returner,
    runner::{Retention, RunnerSettings, Threshold},
};

use super::{Stop, outset};
use crate::{
    adapters::{self, Poster},
    config::{Config, StorePlace},
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
    /// What is wrong with the environment: every variable that the configuration names and that is not there or of no use.
    pub fn wrong(config: &Config) -> Vec<String> {
        let absent = |name: &String| format!("the environment has no `{name}`");
        let mut wrong = Vec::new();
        if let Some(StorePlace::Postgres(server)) = &config.store {
            wrong.extend(server.password.iter().filter(|it| outset::secrets(it).is_none()).map(absent));
        }
        let call = config.thresholds.call.as_ref().and_then(|it| it.secret.as_ref());
        for name in config.callbacks.secret.iter().chain(call) {
            match outset::secrets(name) {
                None => wrong.push(absent(name)),
                Some(secret) if !adapters::can_sign(&secret) => wrong.push(format!(
                    "`{name}` is no secret to sign with: Base64, with or without `whsec_` before it"
                )),
                Some(_) => {}
            }
        }
        let missing = Operators::read(&config.operators, &outset::secrets).err();
        wrong.extend(missing.iter().flatten().map(absent));
        wrong
    }

    /// Takes the secrets that the configuration names from the environment; all that are missing are said at once.
    pub fn of(config: &Config, house: &House) -> Result<Self, Stop> {
        let wrong = Self::wrong(config);
        if !wrong.is_empty() {
            return Err(Stop::wrong_use(format!("vestibule.yaml: {}", wrong.join("; "))));
        }
        let signing = |name: &Option<String>| name.as_deref().and_then(outset::secrets);
        let usual = signing(&config.callbacks.secret);
        let call = config.thresholds.call.as_ref().map(|it| (it.url.clone(), signing(&it.secret)));
        let operators = Operators::read(&config.operators, &outset::secrets).unwrap_or_default();
        let poster = Poster::default();
        let mut settings = settings(config, house);
        settings.alarm = call.map(|(url, secret)| posting::alarm(poster.clone(), url, secret));
        let callbacks = poster.callbacks(outset::secrets, config.callbacks.secret.clone());
        let replies = posting::SoapReplies::new(house.services.clone(), poster, usual);
        Ok(Self { settings, returners: vec![callbacks, Arc::new(replies)], operators })
    }
}

fn settings(config: &Config, house: &House) -> RunnerSettings {
    let most_queued = u64::try_from(config.limits.queued).unwrap_or(u64::MAX);
    let mut settings =
        RunnerSettings { most_calls: config.limits.calls, most_queued, ..RunnerSettings::default() };
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
