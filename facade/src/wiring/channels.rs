//! Channels past the request: connections, queues that are read, paths that are posted to, and where results go.

use std::{collections::HashMap, sync::Arc};

use vestibule_core::{
    job::Place,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, Durability, Tickets},
    },
    ports::{Connection, ConnectionRequest, Hook},
    runner::Fed,
};

use super::{MappingPlan, Opening, files::Folder};
use crate::{adapters, config::codes};

/// What the flows of a directory receive from and send to by themselves.
#[derive(Default)]
pub struct Channels {
    /// The connections that opened, in the configuration's order.
    pub connections: Vec<Arc<dyn Connection>>,
    /// What is read.
    pub sources: Vec<Fed>,
    /// Where the results of each flow go that has a `deliver` of its own, by the flow's position.
    pub deliver: Vec<Option<Place>>,
    /// Paths that are posted to, with the position of the flow.
    pub hooks: HashMap<Box<str>, (usize, Arc<dyn Hook>)>,
}

impl Opening<'_> {
    /// Opens every connection and every channel of these flows. Connects to nothing.
    pub fn channels(&mut self, flows: &[(usize, &MappingPlan)]) -> Channels {
        let mut channels = Channels { connections: self.connections(), ..Channels::default() };
        for (flow, plan) in flows {
            let mut found = Diagnostics::default();
            let deliver = plan.mapping.handling.deliver.as_ref();
            let place = deliver.and_then(|it| self.place(plan, it, &channels.connections, &mut found));
            for channel in &plan.mapping.receive {
                if self.registry.connection(&channel.kind).is_some() {
                    let connection = self.connection(channel, &channels.connections, &mut found);
                    let opened = connection
                        .and_then(|it| it.source(&plan.mapping, channel, place.as_ref(), &mut found));
                    channels.sources.extend(opened.map(|source| Fed { flow: *flow, source }));
                } else if let Some(kind) = self.registry.hook(&channel.kind) {
                    promises(plan, channel, &mut found);
                    let hook = kind.open(&plan.mapping, channel, self.secrets, &mut found);
                    add_hook(&mut channels, *flow, channel, hook, &mut found);
                }
            }
            // Positions are those of the flows that were put together.
            channels.deliver.resize(*flow, None);
            channels.deliver.push(place);
            self.report.extend(plan.file, found);
        }
        channels
    }

    fn connections(&mut self) -> Vec<Arc<dyn Connection>> {
        let Some(file) = self.config_file else { return Vec::new() };
        let files = match Folder::new(self.root, self.root, self.used) {
            Ok(files) => files,
            Err(error) => {
                self.report.add_loose(self.root, codes::UNREADABLE, format!("it can not be read: {error}"));
                return Vec::new();
            }
        };
        let mut opened = Vec::new();
        for one in &self.config.connections {
            let Some(kind) = self.registry.connection(&one.kind) else { continue };
            let mut found = Diagnostics::default();
            let request = ConnectionRequest {
                name: &one.name,
                settings: &one.settings,
                files: &files,
                secrets: self.secrets,
            };
            opened.extend(kind.open(request, &mut found));
            self.report.extend(file, found);
        }
        opened
    }

    /// The connection that a channel names. One that did not open was reported where it is defined.
    fn connection(
        &self,
        channel: &Channel,
        opened: &[Arc<dyn Connection>],
        found: &mut Diagnostics,
    ) -> Option<Arc<dyn Connection>> {
        let Some(name) = channel.get("connection") else {
            let title = format!("`{}` needs a `connection`", channel.kind);
            let problem =
                found.push(codes::UNKNOWN_CONNECTION, &channel.span, title, "over which connection?");
            problem.help("name one of those under `connections:` in vestibule.yaml");
            return None;
        };
        let defined = self.config.connections.iter().find(|it| it.name == name);
        match defined {
            Some(defined) if defined.kind == *channel.kind => {
                opened.iter().find(|it| it.name() == name).map(Arc::clone)
            }
            Some(defined) => {
                let title = format!("the connection `{name}` is one of `{}`", defined.kind);
                let label = format!("not of `{}`", channel.kind);
                found.push(codes::UNKNOWN_CONNECTION, &channel.span, title, label);
                None
            }
            // Without a configuration nobody has said which connections there are.
            None if self.config_file.is_none() => None,
            None => {
                let title = format!("there is no connection `{name}`");
                let label = "not under `connections:` of vestibule.yaml";
                let problem = found.push(codes::UNKNOWN_CONNECTION, &channel.span, title, label);
                let known: Vec<&str> = self.config.connections.iter().map(|it| it.name.as_str()).collect();
                // The channel has no place of its single settings: a near miss is named, not mended.
                match vestibule_core::mapping::diagnostic::nearest(name, &known) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None if known.is_empty() => problem.help("there are no connections"),
                    None => problem.help(format!("there are: {}", known.join(", "))),
                };
                None
            }
        }
    }

    fn place(
        &self,
        plan: &MappingPlan,
        channel: &Channel,
        opened: &[Arc<dyn Connection>],
        found: &mut Diagnostics,
    ) -> Option<Place> {
        if self.registry.hook(&channel.kind).is_some() {
            return adapters::webhook_place(channel, self.secrets, found);
        }
        if self.registry.connection(&channel.kind).is_none() {
            let title = format!("results can not be delivered by `{}`", channel.kind);
            let problem = found.push(codes::CHANNEL, &channel.span, title, "unknown channel");
            let known = self.registry.connections.iter().map(|it| it.kind());
            problem.suggest(
                &channel.kind,
                &channel.span,
                known.chain(self.registry.hooks.iter().map(|it| it.kind())),
            );
            return None;
        }
        self.connection(channel, opened, found)?.place(&plan.mapping, channel, found)
    }
}

/// What is posted is answered with a ticket once it is durable, so the flow must give tickets.
fn promises(plan: &MappingPlan, channel: &Channel, found: &mut Diagnostics) {
    let why = match (plan.mapping.durability, plan.mapping.handling.tickets) {
        (Durability::None, _) => "`durability: none` keeps nothing",
        (Durability::Full, Tickets::Never) => "`async: no` gives no tickets",
        (Durability::Full, Tickets::Asked | Tickets::Late | Tickets::Always) => return,
    };
    let title = format!("`{}` promises what this mapping does not", channel.kind);
    let problem = found.push(codes::CHANNEL, &channel.span, title, why);
    problem.help("what is posted is answered with a ticket once it is durable");
}

fn add_hook(
    channels: &mut Channels,
    flow: usize,
    channel: &Channel,
    hook: Option<Arc<dyn Hook>>,
    found: &mut Diagnostics,
) {
    let Some(hook) = hook else { return };
    let path: Box<str> = hook.path().into();
    if channels.hooks.contains_key(&path) {
        let title = format!("there is another webhook at `{path}`");
        found.push(codes::SAME_PATH, &channel.span, title, "one of them would never be reached");
        return;
    }
    channels.hooks.insert(path, (flow, hook));
}
