//! Channels past the request: connections, queues that are read, paths that are posted to, and where results go.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use vestibule_core::{
    job::Place,
    lookup::Feed,
    mapping::{
        diagnostic::{Diagnostics, Span},
        plan::{Channel, Durability, LookupPlan, Tickets},
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
    /// Reference data of all flows; what several want is read once.
    pub lookups: Vec<Arc<Feed>>,
}

/// Reference data by connection, table, column and how often it is read.
type Wanted = BTreeMap<(String, String, String, Duration), Feed>;

impl Opening<'_> {
    /// Opens every connection and every channel of these flows. Connects to nothing.
    pub fn channels(&mut self, flows: &[(usize, &MappingPlan)]) -> Channels {
        let mut channels = Channels { connections: self.connections(), ..Channels::default() };
        let mut wanted = Wanted::default();
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
            for lookup in &plan.mapping.lookups {
                self.lookup(plan, lookup, &channels.connections, &mut wanted, &mut found);
            }
            // Positions are those of the flows that were put together.
            channels.deliver.resize(*flow, None);
            channels.deliver.push(place);
            self.report.extend(plan.file, found);
        }
        channels.lookups = wanted.into_values().map(Arc::new).collect();
        channels
    }

    /// Opens reference data, or shares what another mapping has opened.
    fn lookup(
        &self,
        plan: &MappingPlan,
        lookup: &LookupPlan,
        opened: &[Arc<dyn Connection>],
        wanted: &mut Wanted,
        found: &mut Diagnostics,
    ) {
        let key = (lookup.connection.clone(), lookup.from.clone(), lookup.key.clone(), lookup.refresh);
        if let Some(feed) = wanted.get_mut(&key) {
            feed.share(Arc::clone(&lookup.table));
            return;
        }
        let before = found.len();
        let Some(connection) = self.named(&lookup.connection, None, &lookup.span, opened, found) else {
            return;
        };
        match connection.lookup(&plan.mapping, lookup, found) {
            Some(data) => {
                wanted.insert(key, Feed::new(data, vec![Arc::clone(&lookup.table)]));
            }
            None if found.len() == before => {
                let title = format!("the connection `{}` has no tables", lookup.connection);
                let label = "look-ups are read from databases";
                found.push(codes::UNKNOWN_CONNECTION, &lookup.span, title, label);
            }
            None => {}
        }
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
        self.named(name, Some(&channel.kind), &channel.span, opened, found)
    }

    /// The connection of this name, of this kind where one is asked for.
    fn named(
        &self,
        name: &str,
        kind: Option<&str>,
        at: &Span,
        opened: &[Arc<dyn Connection>],
        found: &mut Diagnostics,
    ) -> Option<Arc<dyn Connection>> {
        let defined = self.config.connections.iter().find(|it| it.name == name);
        match (defined, kind) {
            (Some(defined), Some(kind)) if defined.kind != kind => {
                let title = format!("the connection `{name}` is one of `{}`", defined.kind);
                found.push(codes::UNKNOWN_CONNECTION, at, title, format!("not of `{kind}`"));
                None
            }
            (Some(_), _) => opened.iter().find(|it| it.name() == name).map(Arc::clone),
            // Without a configuration nobody has said which connections there are.
            (None, _) if self.config_file.is_none() => None,
            (None, _) => {
                let title = format!("there is no connection `{name}`");
                let label = "not under `connections:` of vestibule.yaml";
                let problem = found.push(codes::UNKNOWN_CONNECTION, at, title, label);
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
