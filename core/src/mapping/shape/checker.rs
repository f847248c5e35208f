//! Checks a tree against a schema and makes the JSON that the type is deserialised from.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::{
    super::{
        diagnostic::{Diagnostics, nearest, shown},
        syntax::{Kind, Node},
    },
    plain_json,
};

/// The words of yes and no.
const YES_NO: [&str; 4] = ["yes", "no", "true", "false"];

/// Keys of one block that are compared with what is missing from it.
const MOST_COMPARED: usize = 200;

pub(super) struct Checker<'s> {
    root: &'s Value,
}

impl<'s> Checker<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self { root }
    }

    /// The whole file or block: missing keys are reported, and the type decides whether it can do without them.
    pub(super) fn whole(&self, node: &Node, what: &str, diagnostics: &mut Diagnostics) -> Option<Value> {
        self.value(node, self.root, what, diagnostics)
    }

    fn value(
        &self,
        node: &Node,
        schema: &'s Value,
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let schema = self.resolve(schema);
        if accepts_anything(schema) {
            return Some(plain_json(node));
        }
        if node.is_blank() {
            let title = format!("`{}` has no value", shown(what));
            let label = format!("expected {}", self.expected(schema));
            let found = diagnostics.push("M014", &node.span, title, label);
            if self.alternatives(schema).iter().any(|it| has_type(it, "string")) {
                found.help("an empty text is written ''; text that begins with `#` must be in quotes");
            }
            return None;
        }
        let alternatives = self.alternatives(schema);
        match alternatives.as_slice() {
            [one] => self.single(node, one, what, diagnostics),
            many => self.best(node, many, what, diagnostics),
        }
    }

    /// Follows references.
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        // Our own types do not refer to themselves without a level in between; the bound is for safety.
        for _ in 0..16 {
            let wrapped = schema.get("allOf").and_then(Value::as_array).and_then(|it| it.first());
            let inner = wrapped.unwrap_or(schema);
            let Some(reference) = inner.get("$ref").and_then(Value::as_str) else { return inner };
            if reference == "#" {
                return self.root;
            }
            let name = reference.rsplit('/').next().unwrap_or_default();
            match self.root.get("definitions").and_then(|it| it.get(name)) {
                Some(target) => schema = target,
                None => return inner,
            }
        }
        schema
    }

    /// Nested alternatives as one flat list; a schema without any is its own.
    fn alternatives(&self, schema: &'s Value) -> Vec<&'s Value> {
        let mut flat = Vec::new();
        let mut open = vec![schema];
        while let Some(next) = open.pop() {
            let next = self.resolve(next);
            let listed = next.get("anyOf").or_else(|| next.get("oneOf")).and_then(Value::as_array);
            match listed {
                Some(listed) if flat.len() + open.len() < 256 => open.extend(listed.iter().rev()),
                _ => flat.push(next),
            }
        }
        flat
    }

    fn single(
        &self,
        node: &Node,
        schema: &'s Value,
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        if let Some(words) = words_of(schema) {
            return one_of(node, &words, what, diagnostics);
        }
        match (kind_of(schema), &node.kind) {
            ("object", Kind::Map(entries)) => self.object(node, entries, schema, what, diagnostics),
            ("array", Kind::Seq(items)) => {
                let inner = schema.get("items").unwrap_or(&Value::Null);
                let read = items.iter().filter_map(|it| self.value(it, inner, what, diagnostics));
                Some(Value::Array(read.collect()))
            }
            ("string", Kind::Scalar { text, .. }) => Some(Value::String(text.clone())),
            ("boolean" | "integer" | "number", Kind::Scalar { text, plain }) => {
                match convert(text, *plain, schema) {
                    Ok(value) => Some(value),
                    Err(expected) => {
                        let title = format!("`{}` can not be `{}`", shown(what), shown(text));
                        diagnostics.push("M010", &node.span, title, expected);
                        None
                    }
                }
            }
            _ => self.wrong_kind(node, &[schema], what, diagnostics),
        }
    }

    fn wrong_kind(
        &self,
        node: &Node,
        schemas: &[&'s Value],
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let got = match &node.kind {
            Kind::Scalar { text, .. } => format!("`{}`", shown(text)),
            Kind::Seq(_) | Kind::Map(_) => node.what().to_owned(),
        };
        let expected: Vec<String> = schemas.iter().map(|it| self.expected(it)).collect();
        let title = format!("`{}` can not be {got}", shown(what));
        let found =
            diagnostics.push("M010", &node.span, title, format!("expected {}", expected.join(", or ")));
        if let (Kind::Scalar { text, .. }, true) =
            (&node.kind, schemas.iter().any(|it| kind_of(it) == "array"))
        {
            found.help(format!("a list of one is written [{}]", shown(text)));
        }
        None
    }

    /// Of several alternatives, the ones that fit the node's own form; it is then judged against those alone.
    fn best(
        &self,
        node: &Node,
        all: &[&'s Value],
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let form: &[&str] = match node.kind {
            Kind::Map(_) => &["object"],
            Kind::Seq(_) => &["array"],
            Kind::Scalar { .. } => &["string", "boolean", "integer", "number"],
        };
        let fits: Vec<&'s Value> = all.iter().copied().filter(|it| form.contains(&kind_of(it))).collect();
        match (fits.as_slice(), &node.kind) {
            ([], _) => self.wrong_kind(node, all, what, diagnostics),
            ([one], _) => self.single(node, one, what, diagnostics),
            (many, Kind::Map(entries)) => self.best_object(node, entries, many, what, diagnostics),
            (many, Kind::Scalar { .. }) => self.best_scalar(node, many, what, diagnostics),
            ([first, ..], Kind::Seq(_)) => self.single(node, first, what, diagnostics),
        }
    }

    /// The alternative with most of the keys that are there.
    fn best_object(
        &self,
        node: &Node,
        entries: &[(Node, Node)],
        many: &[&'s Value],
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let score = |schema: &Value| {
            let known = properties(schema);
            let hits = entries.iter().filter_map(|(key, value)| Some((known?.get(key.text()?)?, value)));
            hits.map(|(property, value)| match property.get("const").and_then(Value::as_str) {
                Some(word) if Some(word) == value.text() => 100,
                Some(_) => -100,
                None => 1,
            })
            .sum::<i32>()
        };
        let mut best: Option<(i32, &'s Value)> = None;
        for schema in many.iter().copied() {
            let points = score(schema);
            if best.is_none_or(|(most, _)| points > most) {
                best = Some((points, schema));
            }
        }
        match best {
            Some((points, schema)) if points > 0 || properties(schema).is_none() => {
                self.single(node, schema, what, diagnostics)
            }
            _ => {
                let known: Vec<&str> = many
                    .iter()
                    .filter_map(|it| properties(it))
                    .flat_map(|it| it.keys().map(String::as_str))
                    .collect();
                match entries.first() {
                    Some((key, value)) => unknown_key(key, value, what, &known, diagnostics),
                    None => {
                        let label = format!("expected one of: {}", known.join(", "));
                        diagnostics.push("M012", &node.span, format!("`{}` needs a key", shown(what)), label);
                    }
                }
                None
            }
        }
    }

    /// The first alternative that takes the text; else one message that names them all.
    fn best_scalar(
        &self,
        node: &Node,
        many: &[&'s Value],
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        for schema in many {
            let mut attempt = Diagnostics::default();
            if let Some(value) = self.single(node, schema, what, &mut attempt) {
                return Some(value);
            }
        }
        let text = node.text().unwrap_or_default();
        let mut words: Vec<&str> = Vec::new();
        for schema in many {
            if kind_of(schema) == "boolean" {
                words.extend(["yes", "no"]);
            }
            words.extend(words_of(schema).unwrap_or_default());
        }
        if words.is_empty() {
            return self.wrong_kind(node, many, what, diagnostics);
        }
        not_a_word(node, text, &words, what, diagnostics);
        None
    }

    fn object(
        &self,
        node: &Node,
        entries: &[(Node, Node)],
        schema: &'s Value,
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let known = properties(schema);
        let others =
            schema.get("additionalProperties").filter(|it| it.is_object() || **it == Value::Bool(true));
        let present: HashSet<&str> = entries.iter().filter_map(|(key, _)| key.text()).collect();
        let mut read = Map::new();
        for (key, value) in entries {
            let Some(name) = key.text() else { continue };
            match known.and_then(|it| it.get(name)).or(others) {
                // Of a key that is written twice (already reported), the first counts.
                Some(inner) => {
                    if let Some(value) = self.value(value, inner, name, diagnostics) {
                        read.entry(name).or_insert(value);
                    }
                }
                None => {
                    let free = known.into_iter().flat_map(Map::keys).map(String::as_str);
                    let free: Vec<&str> = free.filter(|it| !present.contains(it)).collect();
                    unknown_key(key, value, what, &free, diagnostics);
                }
            }
        }
        let mut is_whole = true;
        // A key that was meant by a misspelt one is reported there.
        let wanted: Vec<&str> = required(schema).filter(|it| !present.contains(it)).collect();
        let misspelt = |key: &Node| {
            let name = key.text().filter(|it| known.is_none_or(|known| !known.contains_key(*it)))?;
            nearest(name, &wanted)
        };
        let meant: HashSet<&str> = if wanted.is_empty() || others.is_some() {
            HashSet::new()
        } else {
            entries.iter().take(MOST_COMPARED).filter_map(|(key, _)| misspelt(key)).collect()
        };
        for name in required(schema) {
            if !present.contains(name) && !meant.contains(name) {
                let at = entries.first().map_or(&node.span, |(key, _)| &key.span);
                let found =
                    diagnostics.push("M012", at, format!("`{}` needs `{name}`", shown(what)), "missing here");
                let about = known.and_then(|it| it.get(name)).and_then(|it| it.get("description"));
                if let Some(line) = about.and_then(Value::as_str).and_then(|it| it.lines().next()) {
                    found.help(format!("{name}: {line}"));
                }
            }
            is_whole &= read.contains_key(name);
        }
        let is_partial = schema.get("x-partial").is_some();
        (is_whole || is_partial).then_some(Value::Object(read))
    }

    /// What a schema takes, in words.
    fn expected(&self, schema: &'s Value) -> String {
        let mut parts: Vec<String> = Vec::new();
        for schema in self.alternatives(schema) {
            let part = match words_of(schema) {
                Some(words) => format!("one of {}", words.join(", ")),
                None => match kind_of(schema) {
                    "object" => "a block of keys".into(),
                    "array" => "a list".into(),
                    "boolean" => "yes or no".into(),
                    "integer" => "a whole number".into(),
                    "number" => "a number".into(),
                    _ => "text".into(),
                },
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts.join(", or ")
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn accepts_anything(schema: &Value) -> bool {
    const SAYS: [&str; 7] = ["type", "anyOf", "oneOf", "enum", "const", "properties", "additionalProperties"];
    !SAYS.iter().any(|key| schema.get(key).is_some())
}

fn has_type(schema: &Value, kind: &str) -> bool {
    schema.get("type").is_some_and(|it| it == kind) && words_of(schema).is_none()
}

fn kind_of(schema: &Value) -> &str {
    let is_words = schema.get("enum").is_some() || schema.get("const").is_some();
    match schema.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        None if is_words => "string",
        None => "object",
    }
}

fn words_of(schema: &Value) -> Option<Vec<&str>> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    let listed = schema.get("enum").and_then(Value::as_array)?;
    listed.iter().map(Value::as_str).collect()
}

/// Words that stand beside each other as alternatives are one choice.
fn one_of(node: &Node, words: &[&str], what: &str, diagnostics: &mut Diagnostics) -> Option<Value> {
    match node.text() {
        Some(text) if words.contains(&text) => Some(Value::String(text.to_owned())),
        Some(text) => {
            not_a_word(node, text, words, what, diagnostics);
            None
        }
        None => {
            let title = format!("`{}` can not be {}", shown(what), node.what());
            diagnostics
                .push("M010", &node.span, title, "expected one word")
                .help(format!("expected one of: {}", words.join(", ")));
            None
        }
    }
}

fn not_a_word(node: &Node, text: &str, words: &[&str], what: &str, diagnostics: &mut Diagnostics) {
    let title = format!("`{}` is not a valid `{}`", shown(text), shown(what));
    diagnostics.push("M013", &node.span, title, "not one of the allowed words").suggest(
        text,
        &node.span,
        words.iter().copied(),
    );
}

fn unknown_key(key: &Node, value: &Node, what: &str, known: &[&str], diagnostics: &mut Diagnostics) {
    let name = key.text().unwrap_or_default();
    let title = format!("`{}` is not a key of `{}`", shown(name), shown(what));
    let found = diagnostics.push("M011", &key.span, title, "unknown key");
    if value.is_blank() && value.span.start == key.span.end {
        found.help("a comma inside { } ends the value: put the whole value in quotes");
    } else {
        found.suggest(name, &key.span, known.iter().copied());
    }
}

/// Text as the number or truth value that the schema asks for; else what was expected.
fn convert(text: &str, plain: bool, schema: &Value) -> Result<Value, String> {
    match kind_of(schema) {
        "boolean" => match text {
            "yes" | "true" if plain => Ok(Value::Bool(true)),
            "no" | "false" if plain => Ok(Value::Bool(false)),
            _ if YES_NO.contains(&text) => Err("expected yes or no, without quotes".into()),
            _ => Err("expected yes or no".into()),
        },
        "integer" => {
            let (least, most) = bounds(schema);
            let number: Option<i128> = text.parse().ok();
            match number.filter(|it| (least..=most).contains(it)).and_then(whole) {
                Some(number) => Ok(Value::Number(number)),
                None if number.is_some() => Err(format!("expected a whole number from {least} to {most}")),
                None => Err("expected a whole number".into()),
            }
        }
        _ => {
            let number = text.parse::<f64>().ok().filter(|it| it.is_finite()).and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(|| "expected a number".into())
        }
    }
}

fn whole(number: i128) -> Option<Number> {
    u64::try_from(number).map(Number::from).or_else(|_| i64::try_from(number).map(Number::from)).ok()
}

/// Least and greatest whole number of an integer schema.
fn bounds(schema: &Value) -> (i128, i128) {
    let (least, most): (i128, i128) = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("uint64" | "uint") => (0, u64::MAX.into()),
        Some("int8") => (i8::MIN.into(), i8::MAX.into()),
        Some("int16") => (i16::MIN.into(), i16::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    let number = |key: &str| {
        let value = schema.get(key)?;
        value.as_i64().map(i128::from).or_else(|| value.as_f64().map(|it| it as i128))
    };
    (least.max(number("minimum").unwrap_or(least)), most.min(number("maximum").unwrap_or(most)))
}
