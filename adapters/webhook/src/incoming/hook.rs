//! The word `webhook` of `receive`, and one path of it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use vestibule_core::{
    document::{Attribute, AttributeKind, Document},
    fault::Fault,
    mapping::{
        address::Address,
        diagnostic::Diagnostics,
        plan::{Channel, From as Origin, Mapping, Shape},
    },
    ports::{Hook, HookKind, HookRequest},
};

use super::{
    content::{Content, Place},
    header, multipart, settings,
    style::Style,
};
use crate::signature::Secret;

/// Longest value of a header that the mapping reads, in bytes.
const LONGEST_HEADER: usize = 8 << 10;

/// Signed HTTP posts: Standard Webhooks, GitHub, Stripe, and what the mapping describes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Webhook;

impl HookKind for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn open(
        &self,
        mapping: &Arc<Mapping>,
        channel: &Channel,
        secrets: &dyn Fn(&str) -> Option<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Hook>> {
        let hook = settings::read(channel, &Reads::of(mapping), secrets, diagnostics)?;
        Some(Arc::new(hook))
    }
}

/// What a mapping reads besides the document.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Headers, in small letters.
    pub(super) headers: Vec<String>,
    pub(super) properties: Vec<Box<str>>,
}

impl Reads {
    pub(super) fn of(mapping: &Mapping) -> Self {
        let mut found = Self::default();
        found.add(&mapping.record);
        if let Some(trailer) = &mapping.source.trailer {
            found.add(trailer);
        }
        found
    }

    fn add(&mut self, shape: &Shape) {
        for field in &shape.fields {
            match &field.from {
                Origin::Addresses(all) => all.iter().for_each(|it| self.address(it)),
                Origin::Each { shape, .. } => self.add(shape),
                Origin::Constant(_) | Origin::Computed(_) | Origin::Model => {}
            }
        }
    }

    fn address(&mut self, address: &Address) {
        match address {
            Address::Attribute(AttributeKind::Header, name) => {
                let name = name.to_ascii_lowercase();
                if !self.headers.contains(&name) {
                    self.headers.push(name);
                }
            }
            Address::Attribute(AttributeKind::Property, name) if !self.properties.contains(name) => {
                self.properties.push(name.clone());
            }
            Address::Attribute(..) | Address::Path(_) | Address::Before(_) | Address::Meta(_) => {}
        }
    }
}

/// One path.
#[derive(Debug)]
pub(super) struct SignedPath {
    pub(super) path: String,
    pub(super) style: Style,
    pub(super) secrets: Vec<Secret>,
    pub(super) tolerance: Duration,
    pub(super) place: Place,
    /// Headers that the mapping reads, in small letters.
    pub(super) headers: Vec<String>,
}

impl SignedPath {
    /// The headers that the mapping reads; of one that is there more than once, the first.
    fn headers(&self, request: &HookRequest<'_>) -> Vec<Attribute> {
        let read = |name: &String| {
            let value = request.header(name).map(str::trim).filter(|it| it.len() <= LONGEST_HEADER)?;
            let (kind, name) = (AttributeKind::Header, name.as_str().into());
            Some(Attribute { kind, name, value: value.into() })
        };
        self.headers.iter().filter_map(read).collect()
    }
}

impl Hook for SignedPath {
    fn path(&self) -> &str {
        &self.path
    }

    fn accept(&self, request: &HookRequest<'_>) -> Result<Document, Fault> {
        let key = self.style.prove(request, &self.secrets, self.tolerance)?;
        let Content { bytes, media_type, charset, name, attributes } =
            self.place.find(request.header("content-type"), &request.body)?;
        let mut all = self.headers(request);
        all.extend(attributes);
        Ok(Document {
            bytes,
            media_type,
            charset,
            name,
            received: request.received,
            key: Some(key),
            attributes: all,
        })
    }
}

/// Reads hostile bytes as every parser of this crate would: for fuzzing.
pub fn probe(content_type: &str, body: &Bytes) {
    let _ = Place::default().find(Some(content_type), body);
    let named = Place { part: Some("a".into()), field: Some("a".into()), properties: vec!["b".into()] };
    let _ = named.find(Some(content_type), body);
    let _ = multipart::parts(body, "b");
    let _ = header::standard_signatures(content_type, 16);
    let _ = header::stripe_signature(content_type, 16);
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
