//! Names to adapters. Filled once at start-up by `facade/src/adapters.rs`.

use std::sync::Arc;

use crate::{
    ask::Breakers,
    ports::{ConnectionKind, Format, Frontend, HookKind, ModelKind},
};

/// Every adapter that this binary has.
#[derive(Default, Clone)]
pub struct Registry {
    /// Document formats by `source.kind`.
    pub formats: Vec<Arc<dyn Format>>,
    /// Protocols by the word of `receive`.
    pub frontends: Vec<Arc<dyn Frontend>>,
    /// Model technologies by their word.
    pub models: Vec<Arc<dyn ModelKind>>,
    /// Technologies with connections, by their word.
    pub connections: Vec<Arc<dyn ConnectionKind>>,
    /// Technologies of paths that others post to, by the word of `receive`.
    pub hooks: Vec<Arc<dyn HookKind>>,
    /// What all flows know about the health of models, by the model's name.
    pub breakers: Breakers,
}

impl Registry {
    /// The format of this `source.kind`.
    pub fn format(&self, kind: &str) -> Option<&Arc<dyn Format>> {
        self.formats.iter().find(|it| it.kind() == kind)
    }

    /// The format that reads this media type.
    pub fn reader(&self, media_type: &str) -> Option<&Arc<dyn Format>> {
        self.formats.iter().find(|it| it.reads(media_type))
    }

    /// The protocol of this word.
    pub fn frontend(&self, kind: &str) -> Option<&Arc<dyn Frontend>> {
        self.frontends.iter().find(|it| it.kind() == kind)
    }

    /// The model technology of this word.
    pub fn model(&self, kind: &str) -> Option<&Arc<dyn ModelKind>> {
        self.models.iter().find(|it| it.kind() == kind)
    }

    /// The connection technology of this word.
    pub fn connection(&self, kind: &str) -> Option<&Arc<dyn ConnectionKind>> {
        self.connections.iter().find(|it| it.kind() == kind)
    }

    /// The hook technology of this word.
    pub fn hook(&self, kind: &str) -> Option<&Arc<dyn HookKind>> {
        self.hooks.iter().find(|it| it.kind() == kind)
    }

    /// True where documents can be received by this word.
    pub fn receives(&self, kind: &str) -> bool {
        self.frontend(kind).is_some() || self.connection(kind).is_some() || self.hook(kind).is_some()
    }
}
