#![no_main]
//! Foreign bytes to the strict XML reader: it refuses or builds a tree in which every place finds its node again.

use libfuzzer_sys::fuzz_target;
use vestibule_core::{
    mapping::address::{Address, Path},
    tree::{Hit, NodeId, Tree},
};
use vestibule_soap::xml::{Limits, Options, Source};

fn visit(tree: &Tree<'_>, node: NodeId, left: &mut u32) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    let place = tree.place(&Hit::Node(node));
    let parsed = Address::parse(&place, "xml", &indexmap::IndexMap::new());
    if let Ok(Address::Path(path)) = parsed {
        let root = tree.root().expect("a tree with a node has a root");
        let mut hits = Vec::new();
        tree.find(root, false, &path as &Path, &mut hits);
        assert_eq!(hits, [Hit::Node(node)], "{place}");
    }
    assert!(tree.span(node).start <= tree.span(node).end);
    for child in tree.children(node) {
        visit(tree, child, left);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    for charset in [None, Some("iso-8859-1"), Some("utf-16")] {
        let Ok(source) = Source::decode(bytes, charset, None, &limits) else { continue };
        let Ok(tree) = source.parse(&limits, Options::default()) else { continue };
        if let Some(root) = tree.root() {
            visit(&tree, root, &mut 200);
        }
    }
});
