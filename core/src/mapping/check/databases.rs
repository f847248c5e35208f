//! Tables of databases: the channels `postgres` and `sqlserver`.

use std::time::Duration;

use super::{
    super::{
        diagnostic::{Diagnostics, shown},
        file::MappingFile,
        plan::{self, Channel, Write},
        syntax::Node,
    },
    channels::said,
    limits,
};

/// Longest name that PostgreSQL keeps, in bytes.
const LONGEST_POSTGRES: usize = 63;
/// Longest name that SQL Server keeps, in characters.
const LONGEST_SQLSERVER: usize = 128;
/// Longest condition, in bytes.
const LONGEST_CONDITION: usize = 4_000;
/// Longest time between two questions.
const LONGEST_POLL: Duration = Duration::from_secs(3_600);
/// Smallest log that may be kept: less is one segment of it.
const LEAST_WAL: u64 = 16 << 20;
/// Most columns of a key: no index has more.
const MOST_IN_KEY: usize = 32;

/// Keys that mean something for some ways of capture alone.
const OF_CAPTURE: [(&str, &[&str]); 12] = [
    ("where", &["trigger", "snapshot"]),
    ("unchanged", &["trigger", "log", "change-tracking", "cdc"]),
    ("snapshot", &["trigger", "log", "change-tracking", "cdc"]),
    ("backlog", &["trigger"]),
    ("overflow", &["trigger"]),
    ("purge", &["trigger"]),
    ("slot", &["log"]),
    ("publication", &["log"]),
    ("wal_budget", &["log"]),
    ("unlimited", &["log"]),
    ("capture_instance", &["cdc"]),
    ("competing", &["trigger"]),
];

/// True for the words of channels of databases.
pub(super) fn is_database(word: &str) -> bool {
    matches!(word, "postgres" | "sqlserver")
}

/// The databases under `receive` or `deliver`.
pub(super) fn channels<'n>(root: &'n Node, section: &str) -> impl Iterator<Item = (&'n Node, &'n Node)> {
    let blocks = root.get(section).map(Node::items).unwrap_or_default();
    blocks
        .iter()
        .flat_map(Node::entries)
        .filter(|(key, _)| key.text().is_some_and(is_database))
        .map(|(key, value)| (key, value))
}

/// The table with its schema, as both would be spelt in full.
fn full_name(channel: &Channel) -> Option<String> {
    let usual = if &*channel.kind == "postgres" { "public" } else { "dbo" };
    let mut parts = parts(channel.get("table")?)?;
    if parts.len() == 1 {
        parts.insert(0, usual.to_owned());
    }
    Some(parts.join("\0"))
}

/// The names of `table`, `schema.table` or, for names with a dot in them, `"sche.ma"."ta.ble"` or, as SQL Server has it,
/// `[sche.ma].[ta.ble]`. `None` where these are not closed, or something stands behind them.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.chars().next() {
            Some('"') => quoted(rest, '"')?,
            Some('[') => quoted(rest, ']')?,
            _ => {
                let (name, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                (name.to_owned(), after)
            }
        };
        found.push(name);
        if after.is_empty() {
            return Some(found);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// The name between its quotes, and what comes after it. The closing quote is doubled inside.
fn quoted(text: &str, close: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text.get(1..)?;
    loop {
        let (part, after) = rest.split_once(close)?;
        name.push_str(part);
        match after.strip_prefix(close) {
            Some(more) => {
                name.push(close);
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// Two that read the same table.
pub(super) fn is_same(one: &Channel, other: &Channel) -> bool {
    one.get("connection").is_some()
        && one.get("connection") == other.get("connection")
        && full_name(one).is_some_and(|it| Some(it) == full_name(other))
}

/// Checks the settings of `receive`.
pub(super) fn receive(word: &str, block: &Node, diagnostics: &mut Diagnostics) {
    qualified(word, block, "table", diagnostics);
    for key in ["columns", "key", "capture_instance", "schema", "slot", "publication"] {
        names(word, block, key, diagnostics);
    }
    key_is_short(block, diagnostics);
    slot(block, diagnostics);
    if let Some(capture) = block.get("capture").and_then(Node::text) {
        fits_capture(word, capture, block, diagnostics);
    }
    if let Some((text, node)) = said(block, "where")
        && (text.len() > LONGEST_CONDITION || text.contains('\0') || text.trim().is_empty())
    {
        let title = "`where` can not be used";
        let label = format!("expected a condition of at most {LONGEST_CONDITION} bytes");
        diagnostics.push("M048", &node.span, title, label).help("e.g. where: status = 'new'");
    }
    if let Some((text, node)) = said(block, "poll")
        && let Some(found) = limits::duration(node, text, "poll", diagnostics)
        && (found < Duration::from_millis(10) || found > LONGEST_POLL)
    {
        let title = format!("`poll` can not be `{}`", shown(text));
        diagnostics.push("M033", &node.span, title, "expected 10ms to 1h");
    }
    if let Some((text, node)) = said(block, "wal_budget") {
        match size(text) {
            Some(bytes) if bytes >= LEAST_WAL => {}
            found => {
                let title = format!("`wal_budget` can not be `{}`", shown(text));
                let label = if found.is_some() { "expected 16MB at least" } else { "expected a size" };
                diagnostics.push("M054", &node.span, title, label).help("e.g. 512MB, 1GB");
            }
        }
    }
    if block.get("overflow").and_then(Node::text) == Some("drop") && block.get("backlog").is_none() {
        let at = block.entry("overflow").map_or(block, |(key, _)| key);
        diagnostics
            .push("M046", &at.span, "`overflow: drop` needs `backlog`", "how many rows may wait?")
            .help(
                "rows are lost on purpose only where the mapping says at which number, e.g. backlog: 1000000",
            );
    }
}

/// Keys that this way of capture does not have.
fn fits_capture(word: &str, capture: &str, block: &Node, diagnostics: &mut Diagnostics) {
    let is_known = match word {
        "postgres" => ["trigger", "log", "snapshot"].contains(&capture),
        _ => ["trigger", "change-tracking", "cdc", "snapshot"].contains(&capture),
    };
    if !is_known {
        // Reported where the word was read.
        return;
    }
    let foreign: &[&str] = match word {
        "postgres" => &["capture_instance", "competing"],
        _ => &["slot", "publication", "wal_budget", "unlimited"],
    };
    // Keys of the other database are unknown here, and reported as such.
    for (name, ways) in OF_CAPTURE.into_iter().filter(|(name, _)| !foreign.contains(name)) {
        let Some((key, _)) = block.entry(name).filter(|_| !ways.contains(&capture)) else { continue };
        let title = format!("`{name}` has no effect with `capture: {capture}`");
        let found = diagnostics.push("M053", &key.span, title, "remove this");
        if let Some((capture, _)) = block.entry("capture") {
            found.also(&capture.span, "because of this");
        }
        if name == "where" {
            found.help("this way of capture sees all rows: choose them with `source: { only: RULE }`");
        }
    }
}

/// Checks the settings of `deliver`.
pub(super) fn deliver(word: &str, block: &Node, diagnostics: &mut Diagnostics) {
    qualified(word, block, "table", diagnostics);
    qualified(word, block, "procedure", diagnostics);
    for key in ["key", "version", "schema"] {
        names(word, block, key, diagnostics);
    }
    key_is_short(block, diagnostics);
    let mode = match block.get("mode").and_then(Node::text) {
        Some(mode) => mode,
        None if block.get("procedure").is_some() => "call",
        None if block.entries().is_empty() => return,
        None => {
            let at = block.entries().first().map_or(&block.span, |(key, _)| &key.span);
            let title = format!("`{word}` needs `mode`, or `procedure`");
            diagnostics.push("M012", at, title, "missing here").help("mode: insert, update or call");
            return;
        }
    };
    let needs: &[&str] = match mode {
        "insert" => &["table"],
        "update" => &["table"],
        "call" => &["procedure"],
        // Reported where the word was read.
        _ => return,
    };
    let at = block.entry("mode").or_else(|| block.entry("procedure")).map_or(block, |(key, _)| key);
    for key in needs.iter().filter(|it| block.get(it).is_none()) {
        let title = format!("`mode: {mode}` needs `{key}`");
        diagnostics.push("M056", &at.span, title, "missing here");
    }
    let foreign: &[&str] = match mode {
        "insert" => &["procedure", "key", "version", "on_conflict"],
        "update" => &["procedure"],
        _ => &["table", "key", "version", "on_conflict"],
    };
    for (key, _) in foreign.iter().filter_map(|it| block.entry(it)) {
        let title = format!("`{}` has no effect with `mode: {mode}`", key.text().unwrap_or_default());
        diagnostics.push("M056", &key.span, title, "remove this");
    }
}

/// The mode that `procedure` alone means.
pub(super) fn complete(channel: &mut Channel) {
    if channel.get("mode").is_none() && channel.get("procedure").is_some() {
        channel.settings.push(("mode".to_owned(), "call".to_owned()));
    }
}

/// A name with or without its schema.
fn qualified(word: &str, block: &Node, key: &str, diagnostics: &mut Diagnostics) {
    let Some((text, node)) = said(block, key) else { return };
    report_name(word, key, text, node, diagnostics);
}

/// Reports what can be no name of a table, with or without its schema.
pub(super) fn report_name(word: &str, key: &str, text: &str, node: &Node, diagnostics: &mut Diagnostics) {
    // What quotes with the other database's signs would be a name with these signs in it.
    let foreign = match word {
        "postgres" => Some('['),
        "sqlserver" => Some('"'),
        _ => None,
    };
    let is_good = |it: &str| {
        !foreign.is_some_and(|sign| it.starts_with(sign) || it.contains(&format!(".{sign}")))
            && parts(it).is_some_and(|all| all.len() <= 2 && all.iter().all(|it| is_name(word, it)))
    };
    if is_good(text) {
        return;
    }
    let title = format!("`{key}` can not be `{}`", shown(text));
    let found = diagnostics.push("M051", &node.span, title, "expected TABLE or SCHEMA.TABLE");
    let bare = text.replace(['"', '[', ']', '`'], "");
    if bare != text && is_good(&bare) {
        found.fix(&node.span, bare);
    } else {
        found.help(match word {
            "postgres" => {
                "as the catalogue spells it: sales.orders; names with a dot in double quotes: \"a.b\".orders"
            }
            _ => "as the catalogue spells it: sales.orders; names with a dot in brackets: [a.b].orders",
        });
    }
}

/// Names that stand alone: of columns, schemas, slots.
fn names(word: &str, block: &Node, key: &str, diagnostics: &mut Diagnostics) {
    let items = block.get(key).map(Node::items).unwrap_or_default();
    let mut seen = std::collections::HashMap::new();
    for item in items {
        let Some(text) = item.text().filter(|it| !it.is_empty()) else { continue };
        if !is_name(word, text) {
            let title = format!("`{key}` can not be `{}`", shown(text));
            diagnostics.push("M051", &item.span, title, "expected a name").help(match word {
                "postgres" => "at most 63 bytes, without control characters and quotes round it",
                _ => "at most 128 characters, without control characters and brackets round it",
            });
        } else if let Some(first) = seen.insert(text, &item.span) {
            let title = format!("`{}` is listed twice", shown(text));
            diagnostics.push("M005", &item.span, title, "second time").also(first, "and here");
        }
    }
}

/// True for a name that the catalogue of such a database can have and people write without quotes round it.
pub(super) fn is_name(word: &str, text: &str) -> bool {
    let is_short = match word {
        "postgres" => text.len() <= LONGEST_POSTGRES,
        _ => text.chars().count() <= LONGEST_SQLSERVER,
    };
    let is_quoted = |open: char, close: char| text.starts_with(open) && text.ends_with(close);
    is_short
        && !text.is_empty()
        && text.trim() == text
        && !text.chars().any(char::is_control)
        && !is_quoted('"', '"')
        && !is_quoted('[', ']')
        && !is_quoted('`', '`')
}

fn key_is_short(block: &Node, diagnostics: &mut Diagnostics) {
    let Some(node) = block.get("key").filter(|it| it.items().len() > MOST_IN_KEY) else { return };
    let title = format!("more than {MOST_IN_KEY} columns of a key");
    diagnostics.push("M008", &node.span, title, "too many");
}

/// The server takes small letters, digits and `_` for a slot, and nothing else.
fn slot(block: &Node, diagnostics: &mut Diagnostics) {
    let Some((text, node)) = said(block, "slot") else { return };
    let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
    if text.len() <= LONGEST_POSTGRES && !text.bytes().all(fits) {
        let title = format!("`{}` can not name a slot", shown(text));
        diagnostics.push("M051", &node.span, title, "small letters, digits and `_`");
    }
}

/// A number of bytes with its unit: `1GB` is 2^30 bytes, as PostgreSQL counts.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim_start() {
        "B" => 0,
        "kB" | "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Checks what only the whole mapping shows: databases beside the source, the record and what is written.
pub(super) fn whole(root: &Node, file: &MappingFile, mapping: &plan::Mapping, diagnostics: &mut Diagnostics) {
    let kind = file.source.as_ref().and_then(|it| it.kind).map(|it| it.word());
    kinds(root, kind, mapping, diagnostics);
    key_is_said(root, kind, diagnostics);
    if kind == Some("cdc") {
        keys_of_other_kinds(root, diagnostics);
    }
    let mut channels_of = channels(root, "receive");
    for receive in mapping.receive.iter().filter(|it| is_database(&it.kind)) {
        let Some((_, block)) = channels_of.next() else { break };
        columns_are_there(block, receive, mapping, diagnostics);
    }
    if let Some((key, _)) = channels(root, "deliver").next() {
        written(root, key, mapping, diagnostics);
    } else if kind == Some("cdc") {
        places(root, "return", mapping.back.as_ref(), diagnostics);
    }
    if kind == Some("cdc") {
        places(root, "pending", mapping.handling.pending.as_ref(), diagnostics);
    }
}

/// Rows are changes, and changes come from databases.
fn kinds(root: &Node, kind: Option<&str>, mapping: &plan::Mapping, diagnostics: &mut Diagnostics) {
    let Some(kind) = kind else { return };
    let at = root.get("source").and_then(|it| it.entry("kind"));
    if kind != "cdc" {
        for (key, _) in channels(root, "receive") {
            let title = format!("rows of `{}` arrive as changes", key.text().unwrap_or_default());
            let found = diagnostics.push("M052", &key.span, title, "needs `source: { kind: cdc }`");
            if let Some((_, node)) = at {
                found.also(&node.span, "not as this").fix(&node.span, "cdc");
            }
        }
    }
    if kind == "xml" {
        for (key, _) in channels(root, "deliver") {
            let title =
                format!("a reply of kind xml can not be written by `{}`", key.text().unwrap_or_default());
            diagnostics
                .push("M052", &key.span, title, "needs columns")
                .help("take `kind: json` or `kind: cdc`: they write `COLUMN: clean_name`");
        }
    }
    let foreign = mapping.receive.iter().find(|it| !is_database(&it.kind));
    if let (true, Some(channel), Some((key, _))) = (kind == "cdc", foreign, at) {
        let title = format!("documents that arrive by `{}` are no changes of rows", channel.kind);
        diagnostics
            .push("M052", &channel.span, title, "not for `kind: cdc`")
            .also(&key.span, "because of this");
    }
}

/// A row tells its own key; of another document the mapping says which column finds the row.
fn key_is_said(root: &Node, kind: Option<&str>, diagnostics: &mut Diagnostics) {
    for (key, block) in channels(root, "deliver").filter(|_| kind == Some("json")) {
        let mode = block.get("mode").filter(|it| it.text() == Some("update"));
        if let (Some(mode), None) = (mode, block.get("key")) {
            let title =
                format!("`{}` does not say by which column the row is found", key.text().unwrap_or_default());
            diagnostics.push("M056", &mode.span, title, "`mode: update` needs `key` here");
        }
    }
}

/// Keys of `source` and `return` that a row has no use for.
fn keys_of_other_kinds(root: &Node, diagnostics: &mut Diagnostics) {
    let source = ["encoding", "namespaces", "trailer"].map(|it| ("source", it));
    let back = ["into", "contract"].map(|it| ("return", it));
    for (section, name) in source.into_iter().chain(back) {
        let Some((key, _)) = root.get(section).and_then(|it| it.entry(name)) else { continue };
        let title = format!("`{name}` has no meaning in a source of kind cdc");
        diagnostics.push("M017", &key.span, title, "remove this");
    }
}

/// A list of columns has all that are read.
fn columns_are_there(
    block: &Node,
    receive: &Channel,
    mapping: &plan::Mapping,
    diagnostics: &mut Diagnostics,
) {
    let Some((key, _)) = block.entry("columns") else { return };
    let listed: Vec<&str> = receive.all("columns").collect();
    for column in mapping.captured(receive).iter().chain(&mapping.columns()) {
        if listed.contains(&&**column) {
            continue;
        }
        let title = format!("`columns` leaves out `{}`", shown(column));
        if diagnostics.all.iter().any(|it| it.code == "M055" && it.title == title) {
            continue;
        }
        diagnostics
            .push("M055", &key.span, title, "it is read")
            .help("add it, or leave `columns` out: then all that is needed is read");
    }
}

/// What is delivered into a database: one value for each column.
fn written(root: &Node, key: &Node, mapping: &plan::Mapping, diagnostics: &mut Diagnostics) {
    let word = key.text().unwrap_or_default();
    let Some(back) = mapping.back.as_ref().filter(|it| !it.write.is_empty()) else {
        // A `return` that could not be read is reported already.
        if root.get("return").is_none_or(|it| it.get("write").is_none_or(|it| it.entries().is_empty())) {
            let title = format!("nothing says what is written by `{word}`");
            diagnostics
                .push("M058", &key.span, title, "needs `return`")
                .help("return: { write: { COLUMN: clean_name } }");
        }
        return;
    };
    places(root, "return", Some(back), diagnostics);
    let nodes = root.get("return").and_then(|it| it.get("write")).map(Node::entries).unwrap_or_default();
    for (place, _) in nodes {
        let Some(text) = place.text().filter(|it| !it.contains(['/', '\''])) else { continue };
        if !is_name(word, text) {
            let title = format!("`{}` can not name a column", shown(text));
            diagnostics.push("M051", &place.span, title, "in this place");
        }
    }
    let Some(deliver) = &mapping.handling.deliver else { return };
    for write in &back.write {
        let Write::Value { place, .. } = write else { continue };
        let Some(column) = place.steps.first() else { continue };
        let is_key = deliver.all("key").chain(deliver.get("version")).any(|it| it == &*column.name);
        if is_key && deliver.get("mode") == Some("update") && &*mapping.source.kind == "cdc" {
            let title = format!("`{}` finds the row: it can not be written", shown(&column.name));
            let at = nodes.iter().find(|(it, _)| it.text() == Some(&*column.name)).map_or(key, |(it, _)| it);
            diagnostics.push("M057", &at.span, title, "part of `key` or `version`");
        }
    }
}

/// A row has no places below its columns, none that repeat, and each once.
fn places(root: &Node, section: &str, form: Option<&plan::Return>, diagnostics: &mut Diagnostics) {
    let Some(form) = form else { return };
    let nodes = root.get(section).and_then(|it| it.get("write")).map(Node::entries).unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for write in &form.write {
        let (path, problem) = match write {
            Write::Each { place, .. } => (place, Some("a row has no place that repeats")),
            Write::Value { place, .. } if place.steps.len() > 1 => {
                (place, Some("a row is written by its columns"))
            }
            Write::Value { place, .. } => (place, None),
        };
        let Some(column) = path.steps.first() else { continue };
        let is_again = seen.contains(&&*column.name);
        seen.push(&column.name);
        let Some(problem) = problem.or(is_again.then_some("this column is written twice")) else { continue };
        let text = path.to_string();
        let at = nodes.iter().find(|(it, _)| it.text().is_some_and(|it| it.trim() == text));
        let span = at.or(nodes.first()).map_or(&root.span, |(it, _)| &it.span);
        diagnostics.push("M057", span, problem, "in this place");
    }
}
