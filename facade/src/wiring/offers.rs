//! Services: all flows that are received by one protocol under one name.

use std::{collections::HashMap, path::Path, sync::Arc};

use vestibule_core::{
    mapping::{diagnostic::Diagnostics, plan::Channel},
    ports::{Offered, Service},
    registry::Registry,
};

use super::{MappingPlan, report::Report};
use crate::config::codes;

/// Flows of one service, with the mapping that named it first.
struct Group<'p> {
    kind: &'p str,
    name: &'p str,
    first: &'p MappingPlan,
    flows: Vec<Offered>,
}

/// The services that these flows are received by.
pub fn services(
    flows: &[(usize, &MappingPlan)],
    registry: &Registry,
    report: &mut Report,
) -> HashMap<Box<str>, Arc<dyn Service>> {
    let mut services = HashMap::new();
    for group in groups(flows, registry, report) {
        let Some(frontend) = registry.frontend(group.kind) else { continue };
        let mut found = Diagnostics::default();
        let service = frontend.service(group.name, group.flows, &group.first.folder, &mut found);
        let silent = service.is_none() && found.is_empty();
        report.extend(group.first.file, found);
        match service {
            Some(service) => {
                services.insert(group.name.into(), service);
            }
            None if silent => {
                let path = Path::new(&*group.first.mapping.path);
                let message = format!("the service `{}` can not be offered", group.name);
                report.add_loose(path, codes::CHANNEL, message);
            }
            None => {}
        }
    }
    services
}

fn groups<'p>(
    flows: &[(usize, &'p MappingPlan)],
    registry: &Registry,
    report: &mut Report,
) -> Vec<Group<'p>> {
    let mut groups: Vec<Group<'p>> = Vec::new();
    for (flow, plan) in flows {
        let mut found = Diagnostics::default();
        // What arrives by itself and what is posted to paths of its own is no part of a service.
        let called = plan
            .mapping
            .receive
            .iter()
            .filter(|it| registry.connection(&it.kind).is_none() && registry.hook(&it.kind).is_none());
        for channel in called {
            let Some(name) = service_name(channel, registry, &mut found) else { continue };
            let offered =
                Offered { mapping: Arc::clone(&plan.mapping), channel: channel.clone(), flow: *flow };
            match groups.iter_mut().find(|it| it.kind == &*channel.kind && it.name == name) {
                Some(group) => group.flows.push(offered),
                None => groups.push(Group { kind: &channel.kind, name, first: plan, flows: vec![offered] }),
            }
        }
        report.extend(plan.file, found);
    }
    groups
}

fn service_name<'c>(channel: &'c Channel, registry: &Registry, found: &mut Diagnostics) -> Option<&'c str> {
    if registry.frontend(&channel.kind).is_none() {
        let title = format!("documents can not be received by `{}`", channel.kind);
        let problem = found.push(codes::CHANNEL, &channel.span, title, "unknown channel");
        let words = registry.frontends.iter().map(|it| it.kind());
        let words = words.chain(registry.connections.iter().map(|it| it.kind()));
        let words = words.chain(registry.hooks.iter().map(|it| it.kind()));
        problem.suggest(&channel.kind, &channel.span, words);
        return None;
    }
    let name = channel.get("service");
    if name.is_none() {
        let title = format!("`{}` needs a `service`", channel.kind);
        found.push(codes::CHANNEL, &channel.span, title, "which service?");
    }
    name
}
