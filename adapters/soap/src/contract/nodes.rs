//! Reading names out of a schema's tree.

use std::sync::Arc;

use vestibule_core::tree::{NodeId, Tree};

use super::model::QName;

/// True for an element of this name.
pub(super) fn is(tree: &Tree<'_>, node: NodeId, namespace: &str, name: &str) -> bool {
    tree.name(node) == name && tree.namespace(node) == namespace
}

/// Children in this namespace.
pub(super) fn children<'t>(
    tree: &'t Tree<'_>,
    node: NodeId,
    namespace: &'t str,
) -> impl Iterator<Item = NodeId> + 't {
    tree.children(node).filter(move |it| tree.namespace(*it) == namespace)
}

/// Children of this name.
pub(super) fn named<'t>(
    tree: &'t Tree<'_>,
    node: NodeId,
    namespace: &'t str,
    name: &'t str,
) -> impl Iterator<Item = NodeId> + 't {
    children(tree, node, namespace).filter(move |it| tree.name(*it) == name)
}

/// The name that an attribute's value means: its prefix is resolved where it stands. `chameleon` is the namespace of
/// names without one, in a schema that takes the namespace of the one that includes it.
pub(super) fn qname(tree: &Tree<'_>, node: NodeId, value: &str, chameleon: Option<&Arc<str>>) -> QName {
    let value = value.trim();
    let (prefix, local) = value.split_once(':').unwrap_or(("", value));
    let declaration = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
    let mut at = Some(node);
    while let Some(node) = at {
        if let Some(uri) = tree.attribute(node, &declaration) {
            return QName { namespace: uri.into(), local: local.into() };
        }
        at = tree.parent(node);
    }
    let namespace = match chameleon {
        Some(target) if prefix.is_empty() => Arc::clone(target),
        _ => "".into(),
    };
    QName { namespace, local: local.into() }
}
