//! What the uses of a database need of it, read from mappings alone.

use vestibule_core::{
    fault::{Fault, FaultCode},
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, Mapping, Write},
    },
    ports::Use,
};

use crate::database::{
    Receive, Relation,
    quote::{self, LONGEST_NAME, Unquotable},
    receive::SCHEMA,
};

/// One thing that a mapping does with this database.
pub(super) enum Part {
    /// Rows come in.
    Receive(Receive),
    /// Results go out.
    Deliver(Deliver),
}

/// `deliver: postgres`, as far as privileges need it.
pub(super) struct Deliver {
    pub flow: String,
    pub schema: String,
    pub table: Relation,
    pub write: Way,
    /// Columns that are written.
    pub columns: Vec<String>,
    /// Columns that are compared.
    pub compared: Vec<String>,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Insert,
    Update,
    Call,
}

impl Part {
    /// All that these uses do, in their order.
    pub fn all(uses: &[Use]) -> Result<Vec<Self>, Fault> {
        let mut parts = Vec::new();
        for it in uses {
            if let Some(channel) = &it.receive {
                let mut heard = Diagnostics::default();
                let receive = Receive::read(&it.mapping, channel, &mut heard);
                parts.push(Self::Receive(receive.ok_or_else(|| unread(&it.mapping, &heard))?));
            }
            if let Some(channel) = &it.deliver {
                parts.push(Self::Deliver(deliver(&it.mapping, channel)?));
            }
        }
        Ok(parts)
    }

    pub fn flow(&self) -> &str {
        match self {
            Self::Receive(it) => &it.flow,
            Self::Deliver(it) => &it.flow,
        }
    }

    pub fn schema(&self) -> &str {
        match self {
            Self::Receive(it) => &it.schema,
            Self::Deliver(it) => &it.schema,
        }
    }

    pub fn relation(&self) -> &Relation {
        match self {
            Self::Receive(it) => &it.table,
            Self::Deliver(it) => &it.table,
        }
    }
}

fn unread(mapping: &Mapping, heard: &Diagnostics) -> Fault {
    let first = heard.sorted().first().map(|it| it.title.clone()).unwrap_or_default();
    Fault::new(FaultCode::Internal, format!("{}: {first}", mapping.name))
}

fn deliver(mapping: &Mapping, channel: &Channel) -> Result<Deliver, Fault> {
    let wrong = |what: &str| Fault::new(FaultCode::Internal, format!("{}: {what}", mapping.name));
    let write = match channel.get("mode") {
        Some("insert") => Way::Insert,
        Some("call") => Way::Call,
        _ if channel.get("procedure").is_some() => Way::Call,
        _ => Way::Update,
    };
    let name = if write == Way::Call {
        channel.get("procedure").or(channel.get("table"))
    } else {
        channel.get("table")
    };
    let table = Relation::parse(name.unwrap_or_default()).map_err(|_| wrong("`deliver` names no table"))?;
    let schema = channel.get("schema").unwrap_or(SCHEMA);
    quote::check_name(schema).map_err(Fault::from)?;
    let mut columns: Vec<String> = Vec::new();
    for write in mapping.back.iter().flat_map(|it| &it.write) {
        let (Write::Value { place, .. } | Write::Each { place, .. }) = write;
        if let Some(step) = place.steps.first() {
            columns.push(step.name.to_string());
        }
    }
    let mut compared: Vec<String> = channel.all("key").map(str::to_owned).collect();
    compared.extend(channel.all("version").map(str::to_owned));
    for name in columns.iter().chain(&compared) {
        quote::check_name(name).map_err(Fault::from)?;
    }
    Ok(Deliver { flow: mapping.name.to_string(), schema: schema.to_owned(), table, write, columns, compared })
}

impl From<Unquotable> for Fault {
    fn from(error: Unquotable) -> Self {
        Self::new(FaultCode::Internal, format!("this can not stand in SQL: {error}"))
    }
}

/// The role that owns everything of a schema.
pub(crate) fn owner(schema: &str) -> String {
    with_ending(schema, "_owner")
}

/// The role that reads the outbox; the connection's user is a member of it.
pub(crate) fn reader(schema: &str) -> String {
    with_ending(schema, "_reader")
}

/// The channel of notifications of a flow: a hint that there may be rows.
pub(crate) fn channel(schema: &str, flow: &str) -> String {
    with_ending(schema, &format!("_{flow}"))
}

/// Two names as one that PostgreSQL keeps whole.
pub(super) fn with_ending(name: &str, ending: &str) -> String {
    let whole = format!("{name}{ending}");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    let tail = format!("_{:08x}", number(&[&whole]));
    let mut room = LONGEST_NAME.saturating_sub(tail.len());
    while !whole.is_char_boundary(room) {
        room = room.saturating_sub(1);
    }
    format!("{}{tail}", whole.get(..room).unwrap_or_default())
}

/// A positive number for these texts, the same each time (FNV-1a, 31 bits).
pub(crate) fn number(texts: &[&str]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for text in texts {
        // 0xff stands in no text: it keeps them apart.
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    (hash & 0x7fff_ffff).max(1)
}

/// The number of the row of `capture` that outbox rows of this use carry.
pub(crate) fn capture_id(receive: &Receive) -> u32 {
    let table = receive.table.quoted();
    let mut texts = vec![&*receive.flow, &*table];
    texts.extend(receive.columns.iter().map(String::as_str));
    texts.push("\u{0}");
    texts.extend(receive.key.iter().map(String::as_str));
    number(&texts)
}

/// The name of a trigger on the application's table.
pub(super) fn trigger_name(flow: &str, event: &str) -> String {
    with_ending(&with_ending("vestibule_", flow).chars().take(50).collect::<String>(), &format!("_{event}"))
}

/// The name of its function in our schema: the same after the columns have changed.
pub(super) fn function_name(receive: &Receive, event: &str) -> String {
    let number = number(&[&receive.flow, &receive.table.quoted()]);
    let name = with_ending(&receive.table.name, "").chars().take(30).collect::<String>();
    with_ending(&name, &format!("_{event}_{number:08x}"))
}
