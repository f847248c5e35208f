//! Every code of the mapping language, with its meaning and its remedy, for `vestibule explain CODE`.

/// One code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The stable code, e.g. `M013`.
    pub code: &'static str,
    /// What it means, in a line, without a full stop.
    pub meaning: &'static str,
    /// What to do, in a line, without a full stop.
    pub remedy: &'static str,
}

const fn code(code: &'static str, meaning: &'static str, remedy: &'static str) -> Code {
    Code { code, meaning, remedy }
}

/// Every code, in order.
pub const ALL: &[Code] = &[
    code(
        "M001",
        "The file is not valid YAML",
        "Look at the caret: quotes, brackets and indentation with spaces",
    ),
    code("M002", "A file holds one document", "Put the second document, after `---`, into a file of its own"),
    code(
        "M003",
        "Anchors, aliases and tags are not used here",
        "Write the value out; quote text that begins with & * or !",
    ),
    code("M004", "A comment cuts a value in two", "Put a value that contains ` #` in double quotes"),
    code("M005", "A name stands twice", "Remove one, or rename it"),
    code("M006", "The file is empty", "Begin with `mapping:`, `source:` and `record:`"),
    code("M007", "The file is not UTF-8 text", "Save it as UTF-8"),
    code(
        "M008",
        "The file passes a limit of size, depth or number",
        "Split it, or move tables into CSV files",
    ),
    code("M009", "A key is not a single value", "Quote a key that begins with `[` or `{`"),
    code(
        "M010",
        "A value is of the wrong kind",
        "Write what the label asks for: a block, a list, a number, yes or no",
    ),
    code("M011", "A key is not known here", "Take the suggested key, or remove it"),
    code("M012", "A key is missing", "Add it"),
    code("M013", "A word is not one of those allowed", "Take one of the listed words"),
    code("M014", "A key has no value", "Write the value, or remove the key; an empty text is ''"),
    code("M015", "Two keys do not go together", "Leave one of them out"),
    code(
        "M016",
        "The language knows this, this version does not run it",
        "Remove it, or wait for the version that does",
    ),
    code("M017", "A key has no meaning for this kind of source", "Remove it"),
    code(
        "M018",
        "A list stands where a single value is needed, or the other way round",
        "Use `each`, or a function such as `sum`",
    ),
    code("M019", "A field has the name of a word of the language", "Choose another name"),
    code(
        "M020",
        "An address can not be read",
        "Mend it at the caret; see the notation of addresses for this kind of source",
    ),
    code("M021", "A code table is not there", "Define it under `codes`, or mend the name"),
    code(
        "M022",
        "A legacy code is listed twice in one table",
        "Every legacy code has one clean word; remove one",
    ),
    code("M023", "A field is not there", "Mend the name, or define the field"),
    code(
        "M024",
        "A fixed answer does not have the shape of `ask.answer`",
        "Give every required field a value that it allows",
    ),
    code(
        "M025",
        "A name is not written as names are",
        "Use small letters, digits and `_` (for a mapping also `-`)",
    ),
    code("M026", "Nothing says where a value comes from", "Add `from`, `value`, `compute` or `each`"),
    code(
        "M027",
        "A clean value has no legacy code, so it could not be written back",
        "Add it to the code table",
    ),
    code(
        "M028",
        "The contract does not have this address",
        "Take the suggested name, or correct the contract",
    ),
    code("M029", "The contract has another operation or reply", "Use the contract's own name"),
    code("M030", "A spelling can not be used", "Mend `format`, `pivot` or `codes` as the message says"),
    code(
        "M031",
        "A value in the mapping can not be read as its field's type, or breaks its rules",
        "Write it as the clean side does: ISO dates, plain decimals, clean words",
    ),
    code(
        "M032",
        "A length, range or share can not be read, or does not fit the type",
        "Write a..b, ..b, a.. or a number; shares are 0 to 1",
    ),
    code("M033", "A length of time can not be read, or does not fit", "Write 500ms, 8s, 10m, 48h or 30d"),
    code("M034", "A pattern can not be used", "Mend the regular expression; it must match the whole value"),
    code(
        "M035",
        "A time zone or character set is not known",
        "Use an IANA name such as Europe/Madrid, windows-1252",
    ),
    code(
        "M036",
        "A file beside the mapping can not be read",
        "Check the path: it is relative to the mapping",
    ),
    code(
        "M037",
        "A CSV file is not a code table",
        "It needs the columns legacy and clean, and each code once",
    ),
    code(
        "M038",
        "A prompt is not a template, or uses what is not sent",
        "Mend the template, or add the field to `send`",
    ),
    code("M039", "A contract can not be read", "Check the path and the file"),
    code("M040", "A rule can not be read", "Mend it at the caret"),
    code("M041", "A rule's names or types do not go together", "Mend the name, or compare like with like"),
    code("M042", "A route is not there", "Define it under `routes` in vestibule.yaml, or mend the name"),
    code(
        "M043",
        "A field of the key or of the order may be absent, or is not read from the document",
        "Say `required` on the field, or leave it out of `key` or `order`",
    ),
    code(
        "M044",
        "The path of a webhook can not be used",
        "Write /hooks/NAME with letters, digits, `-`, `_`, `.` and `~`",
    ),
    code(
        "M045",
        "A secret is not named by an environment variable",
        "Put the secret into the environment and write the variable's name, e.g. CLAIMS_HOOK",
    ),
    code("M046", "A key has no effect without another one", "Add the other key, or remove this one"),
    code(
        "M047",
        "This needs durable jobs",
        "Remove `durability: none`, or remove what needs a job: tickets, order, review, delivery",
    ),
    code("M048", "A setting of a channel can not be used", "Mend it as the message says"),
    code(
        "M049",
        "The delays of `retry` can not be used",
        "List up to ten from the shortest to the longest, e.g. [5s, 1m, 10m]",
    ),
    code(
        "M050",
        "`pending` writes what is not known when a ticket is given",
        "Write `ticket`, `flow.name`, `flow.version` or a fixed text",
    ),
    code(
        "M051",
        "A name can not be one of a table, column, schema or slot",
        "Write the catalogue's own spelling: TABLE or SCHEMA.TABLE, without quotes, at most 63 bytes (SQL Server: 128 characters)",
    ),
    code(
        "M052",
        "A channel of a database does not go with this kind of source",
        "Rows arrive as `source: { kind: cdc }`; results written into a database need `kind: cdc` or `json`",
    ),
    code(
        "M053",
        "A key has no effect with this `capture`",
        "Remove it, or take the `capture` that it belongs to",
    ),
    code(
        "M054",
        "A size can not be read, or does not fit",
        "Write a number of bytes with its unit: 512MB, 1GB",
    ),
    code(
        "M055",
        "`columns` leaves out a column that is needed",
        "Add the column: the record, the key or the write-back reads it",
    ),
    code(
        "M056",
        "A key does not go with this `mode`",
        "Remove it, add what the mode needs, or take another `mode`",
    ),
    code(
        "M057",
        "A row can not be written like this",
        "Under `return.write` write one value for each column",
    ),
    code(
        "M058",
        "Nothing says what is written into the database",
        "Add `return: { write: { COLUMN: clean_name } }`",
    ),
    code(
        "M059",
        "A lookup can not be used",
        "Give it a name in lower_case of its own, a table and a column of keys",
    ),
];

/// What is known of a code.
pub fn explain(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|it| it.code.eq_ignore_ascii_case(code))
}
