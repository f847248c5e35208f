//! Mappings of rows: what is right becomes a plan, and each mistake is one message.

use std::time::Duration;

use super::{
    super::super::codes,
    fixture::{check, compile_bare, problems, render},
};
use crate::mapping::{
    address::{Address, Meta},
    check::size,
    plan::{Channel, From, Mapping, Write},
};

/// Everything at once.
const ROWS: &str = r#"mapping: order-risk
source:
  kind: cdc
  only: op != 'delete'
receive:
  - postgres:
      connection: orders_db
      table: sales.orders
      capture: trigger
      columns: [ID, STATUS, TOTAL, DOC, TAGS, "odd name", ROW_VERSION]
      key: ID
      where: "STATUS <> 'void'"
      schema: bridge
      unchanged: read
      snapshot: initial
      backlog: 5000
      overflow: drop
      poll: 500ms
      purge: 1000
  - postgres:
      connection: orders_db
      table: old_orders
      capture: log
      slot: risk_slot
      publication: risk
      wal_budget: 512MB
      unlimited: true
  - sqlserver:
      connection: legacy
      table: orders
      capture: cdc
      capture_instance: [dbo_orders, dbo_orders_2]
  - sqlserver:
      connection: legacy
      table: sales.orders
      capture: trigger
      competing: yes
key: id
order: [id]
record:
  id:     { from: ID, required: yes }
  op:     meta op
  status: [STATUS, before STATUS]
  was:    before STATUS
  total:  { from: TOTAL, type: money }
  city:   DOC/customer/city
  tag:    TAGS(2)
  odd:    "'odd name'"
  lines:
    each: DOC/lines
    record: { sku: sku, old: before TOTAL }
lookups:
  known: { connection: orders_db, from: customers, key: ID, refresh: 5m }
checks:
  id in known: { else: review, say: Nobody knows this customer }
deliver:
  postgres:
    connection: orders_db
    table: sales.orders
    mode: update
    key: [ID]
    version: ROW_VERSION
    on_conflict: retry
    schema: bridge
return:
  write:
    RISK: outcome
    "'odd result'": status
"#;

fn plan(text: &str) -> Mapping {
    let compiled = check(text);
    assert_eq!(render(text, &compiled), "");
    compiled.mapping.unwrap()
}

/// With `status` as a list of addresses, which has its long form alone.
fn rows() -> String {
    ROWS.replace("[STATUS, before STATUS]", "{ from: [STATUS, before STATUS] }")
}

#[test]
fn channels_of_databases_become_a_plan() {
    let plan = plan(&rows());
    assert_eq!(&*plan.source.kind, "cdc");
    let [trigger, log, cdc, competing] = plan.receive.as_slice() else { panic!("four channels") };
    let settings = |channel: &Channel| {
        channel.settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        settings(trigger),
        "connection=orders_db table=sales.orders capture=trigger columns=ID columns=STATUS columns=TOTAL columns=DOC \
         columns=TAGS columns=odd name columns=ROW_VERSION key=ID where=STATUS <> 'void' schema=bridge unchanged=read \
         snapshot=initial backlog=5000 overflow=drop poll=500ms purge=1000"
    );
    assert_eq!(
        settings(log),
        "connection=orders_db table=old_orders capture=log slot=risk_slot publication=risk wal_budget=512MB unlimited=yes"
    );
    assert_eq!(cdc.all("capture_instance").collect::<Vec<_>>(), ["dbo_orders", "dbo_orders_2"]);
    assert_eq!((&*competing.kind, competing.get("competing")), ("sqlserver", Some("yes")));
    let deliver = plan.handling.deliver.as_ref().unwrap();
    assert_eq!(
        settings(deliver),
        "connection=orders_db table=sales.orders mode=update key=ID version=ROW_VERSION on_conflict=retry schema=bridge"
    );
    let [lookup] = plan.lookups.as_slice() else { panic!("one lookup") };
    assert_eq!(
        (&*lookup.name, &*lookup.connection, &*lookup.from, &*lookup.key),
        ("known", "orders_db", "customers", "ID")
    );
    assert_eq!((lookup.refresh, lookup.table.name()), (Duration::from_secs(300), "known"));
    let names: Vec<String> = plan
        .back
        .as_ref()
        .unwrap()
        .write
        .iter()
        .map(|it| match it {
            Write::Value { place, .. } => place.steps[0].name.to_string(),
            Write::Each { .. } => panic!("a value"),
        })
        .collect();
    assert_eq!(names, ["RISK", "odd result"]);
}

#[test]
fn the_columns_that_a_mapping_reads_are_known_without_a_row() {
    let plan = plan(&rows());
    let words = |all: Vec<std::sync::Arc<str>>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(words(plan.columns()), ["ID", "STATUS", "TOTAL", "DOC", "TAGS", "odd name"]);
    let (now, before) = plan.columns_by_side();
    assert_eq!(words(now), ["ID", "STATUS", "TOTAL", "DOC", "TAGS", "odd name"]);
    assert_eq!(words(before), ["STATUS", "TOTAL"]);
    // Where nothing is listed: what is read, and what the write-back into the same database finds its row by.
    let all = ["ID", "STATUS", "TOTAL", "DOC", "TAGS", "odd name", "ROW_VERSION"];
    assert_eq!(words(plan.captured(&plan.receive[0])), all);
    assert_eq!(words(plan.captured(&plan.receive[1])), all);
    assert_eq!(words(plan.captured(&plan.receive[2])), all[..6]);
    let From::Addresses(status) = &plan.record.fields[2].from else { panic!("addresses") };
    assert_eq!(status.iter().map(ToString::to_string).collect::<Vec<_>>(), ["STATUS", "before STATUS"]);
    assert!(
        matches!(&plan.record.fields[1].from, From::Addresses(all) if all[..] == [Address::Meta(Meta::Op)])
    );
    let xml = super::samples::CLAIMS;
    assert_eq!(check(xml).mapping.unwrap().columns(), []);
}

#[test]
fn a_procedure_alone_means_a_call() {
    let text = rows();
    let start = text.find("    table: sales.orders\n    mode: update").unwrap();
    let end = text.find("    schema: bridge\nreturn").unwrap();
    let called = format!("{}    procedure: sales.set_risk\n{}", &text[..start], &text[end..]);
    let deliver = plan(&called).handling.deliver.unwrap();
    assert_eq!((deliver.get("mode"), deliver.get("procedure")), (Some("call"), Some("sales.set_risk")));
}

/// What is replaced in the sample, by what, and all that is said about it.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    // M051
    ("table: old_orders", "table: a.b.c", &["M051 `table` can not be `a.b.c`"]),
    ("table: old_orders", "table: '\"Old\".\"Orders\"'", &[]),
    ("table: old_orders", "table: '\"O.ld\"\"x\".Orders'", &[]),
    ("table: old_orders", "table: '\"Old'", &["M051 `table` can not be"]),
    ("table: old_orders", "table: '\"Old\"x'", &["M051 `table` can not be"]),
    ("table: old_orders", "table: 'sales.'", &["M051 `table` can not be `sales.`"]),
    ("schema: bridge\n      un", "schema: \"bri\\tdge\"\n      un", &["M051 `schema` can not be"]),
    (
        "publication: risk",
        "publication: a123456789b123456789c123456789d123456789e123456789f123456789g1234",
        &["M051 `publication` can not be"],
    ),
    ("slot: risk_slot", "slot: Risk-Slot", &["M051 `Risk-Slot` can not name a slot"]),
    ("key: ID\n      wh", "key: [ID, ID]\n      wh", &["M005 `ID` is listed twice"]),
    ("from: customers", "from: '[dbo].[customers]'", &[]),
    ("from: customers", "from: '[dbo].[customers'", &["M051 `from` can not be `[dbo].[customers`"]),
    ("table: old_orders", "table: '[dbo].[orders]'", &["M051 `table` can not be `[dbo].[orders]`"]),
    ("table: orders", "table: '[dbo].[or.]]ders]'", &[]),
    ("table: orders", "table: 'dbo.\"orders\"'", &["M051 `table` can not be"]),
    // M052
    (
        "table: old_orders",
        "table: old_orders\n  - amqp: { connection: b, queue: q }\n  - postgres:\n      connection: a\n      table: b",
        &["M012 `postgres` needs `capture`", "M052 documents that arrive by `amqp` are no changes of rows"],
    ),
    // M053
    ("capture: log", "capture: log\n      where: A = 1", &["M053 `where` has no effect with `capture: log`"]),
    (
        "capture: log",
        "capture: snapshot",
        &[
            "M053 `slot` has no effect with `capture: snapshot`",
            "M053 `publication` has no effect with `capture: snapshot`",
            "M053 `wal_budget` has no effect with `capture: snapshot`",
            "M053 `unlimited` has no effect with `capture: snapshot`",
        ],
    ),
    ("capture: log", "capture: log\n      purge: 5", &["M053 `purge` has no effect with `capture: log`"]),
    (
        "capture: cdc",
        "capture: change-tracking",
        &["M053 `capture_instance` has no effect with `capture: change-tracking`"],
    ),
    ("capture: log", "capture: logs", &["M013 `logs` is not a valid `capture`"]),
    ("capture: log", "capture: cdc", &["M013 `cdc` is not a valid `capture`"]),
    ("capture: cdc", "capture: change_tracking", &["M013 `change_tracking` is not a valid `capture`"]),
    ("      capture: log\n", "", &["M012 `postgres` needs `capture`"]),
    ("slot: risk_slot", "slott: risk_slot", &["M011 `slott` is not a key of `postgres`"]),
    ("competing: yes", "slot: x", &["M011 `slot` is not a key of `sqlserver`"]),
    // M054
    ("wal_budget: 512MB", "wal_budget: plenty", &["M054 `wal_budget` can not be `plenty`"]),
    ("wal_budget: 512MB", "wal_budget: 1MB", &["M054 `wal_budget` can not be `1MB`"]),
    ("wal_budget: 512MB", "wal_budget: 99999999999TB", &["M054 "]),
    ("poll: 500ms", "poll: often", &["M033 `poll` can not be `often`"]),
    ("poll: 500ms", "poll: 1ms", &["M033 `poll` can not be `1ms`"]),
    ("backlog: 5000", "backlog: 0", &["M010 `backlog` can not be `0`"]),
    ("      backlog: 5000\n", "", &["M046 `overflow: drop` needs `backlog`"]),
    ("unchanged: read", "unchanged: guess", &["M013 `guess` is not a valid `unchanged`"]),
    ("snapshot: initial", "snapshot: always", &["M013 `always` is not a valid `snapshot`"]),
    // M055
    ("TOTAL, DOC, TAGS", "TOTAL, TAGS", &["M055 `columns` leaves out `DOC`"]),
    ("columns: [ID, ", "columns: [", &["M055 `columns` leaves out `ID`"]),
    (", ROW_VERSION]", "]", &["M055 `columns` leaves out `ROW_VERSION`"]),
    // M056
    ("mode: update", "mode: insert", &["M056 `key` has", "M056 `version` has", "M056 `on_conflict` has"]),
    ("    key: [ID]\n", "", &[]),
    ("mode: update", "procedure: p", &["M056 `table`", "M056 `key`", "M056 `version`", "M056 `on_conflict`"]),
    (
        "mode: update",
        "mode: update\n    procedure: p",
        &["M056 `procedure` has no effect with `mode: update`"],
    ),
    ("    mode: update\n", "", &["M012 `postgres` needs `mode`, or `procedure`"]),
    ("mode: update", "mode: upsert", &["M013 `upsert` is not a valid `mode`"]),
    ("on_conflict: retry", "on_conflict: win", &["M013 `win` is not a valid `on_conflict`"]),
    // M057
    (
        "    RISK: outcome\n",
        "    RISK: outcome\n    \"'RISK'\": op\n",
        &["M057 this column is written twice"],
    ),
    ("    RISK: outcome\n", "    ID: op\n", &["M057 `ID` finds the row: it can not be written"]),
    (
        "    RISK: outcome\n",
        "    RISK: { each: lines, write: { SKU: sku } }\n",
        &["M057 a row has no place that repeats"],
    ),
    ("    RISK: outcome\n", "    a/b: outcome\n", &["M020 a written place of a row is the name of a column"]),
    ("    RISK: outcome\n", "    before A: outcome\n", &["M020 `before` can not be written"]),
    // M058
    (
        "return:\n  write:\n    RISK: outcome\n    \"'odd result'\": status\n",
        "",
        &["M058 nothing says what is written by `postgres`"],
    ),
    // M059
    ("refresh: 5m", "refresh: 1ms", &["M059 `refresh` can not be `1ms`"]),
    ("  known: {", "  total: {", &["M059 `total` is a field of the record", "M041 "]),
    ("  known: {", "  Known: {", &["M025 a clean name", "M041 there is no field `known`"]),
    ("  known: {", "  outcome: {", &["M019 `outcome` is a word of the language", "M041 "]),
    ("from: customers, key: ID", "from: customers", &["M012 `known` needs `key`"]),
    ("id in known", "id in knwon", &["M041 there is no field `knwon`"]),
    // Others
    (
        "table: old_orders",
        "table: old_orders\n      capture: log\n  - postgres:\n      connection: orders_db\n      table: '\"public\".old_orders'",
        &["M005 this channel stands twice"],
    ),
    (
        "key: id\n",
        "key: id\ndurability: none\n",
        &[
            "M047 rows of `postgres` need durable jobs",
            "M047 rows of `postgres` need durable jobs",
            "M047 rows of `sqlserver` need durable jobs",
            "M047 rows of `sqlserver` need durable jobs",
            "M047 `order` needs durable jobs",
            "M047 `deliver` needs durable jobs",
        ],
    ),
    (
        "  only: op",
        "  encoding: utf-8\n  only: op",
        &["M017 `encoding` has no meaning in a source of kind cdc"],
    ),
    ("  only: op", "  contract: a.xsd\n  only: op", &["M039 documents of kind cdc have no contract"]),
    ("return:\n", "return:\n  into: Reply\n", &["M017 `into` has no meaning in a source of kind cdc"]),
    (
        "was:    before STATUS",
        "was:    befor STATUS",
        &["M020 `befor` is not a way to find a value in a cdc source"],
    ),
    ("was:    before STATUS", "was:    before", &[]),
    ("op:     meta op", "op:     meta opp", &["M020 `opp` is not known about a document"]),
    ("op:     meta op", "op:     meta lsn", &[]),
    ("odd:    \"'odd name'\"", "odd:    odd name", &["M020 a name with a blank in it needs quotes"]),
    (
        "city:   DOC/customer/city",
        "city:   //city",
        &["M020 an address in a row begins with the name of a column"],
    ),
    (
        "city:   DOC/customer/city",
        "city:   /DOC",
        &["M020 an address in a row begins with the name of a column"],
    ),
    ("city:   DOC/customer/city", "city:   DOC/@id", &["M020 a cdc source has no attributes"]),
    ("city:   DOC/customer/city", "city:   before */a", &["M020 an address in a row begins with"]),
    (
        "each: DOC/lines",
        "each: before DOC",
        &["M020 `before` is a single value, not a place in the document"],
    ),
    ("sku: sku,", "sku: ../sku,", &["M020 `..` does not exist in a cdc source"]),
];

/// What some of the mistakes say besides: the columns that the changed address reads are not listed.
const NOT_LISTED: [&str; 2] = ["M055 `columns` leaves out `before`", "M055 `columns` leaves out `ID`"];

#[test]
fn each_mistake_about_rows_is_one_message() {
    let sample = rows();
    let mut wrong = Vec::new();
    for (old, new, expected) in MISTAKES {
        assert!(sample.contains(old), "the sample has no {old:?}");
        let compiled = check(&sample.replacen(old, new, 1));
        let got: Vec<String> = problems(&compiled)
            .into_iter()
            .filter(|it| {
                expected.iter().any(|wanted| it.starts_with(wanted)) || !NOT_LISTED.contains(&it.as_str())
            })
            .collect();
        let same = got.len() == expected.len()
            && got.iter().zip(*expected).all(|(got, wanted)| got.starts_with(wanted));
        if !same {
            wrong.push(format!("{old:?} -> {new:?}: {got:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let seen = |code: &str| MISTAKES.iter().any(|(_, _, all)| all.iter().any(|it| it.starts_with(code)));
    for code in ["M051", "M052", "M053", "M054", "M055", "M056", "M057", "M058", "M059"] {
        assert!(seen(code) && codes::explain(code).is_some(), "{code}");
    }
}

#[test]
fn databases_and_kinds_of_documents_go_together() {
    let base = |kind: &str, more: &str| {
        format!("mapping: m\nsource: {{ kind: {kind} }}\nrecord: {{ a: A }}\n{more}")
    };
    let receive = "receive: { postgres: { connection: c, table: t, capture: trigger } }\n";
    let deliver = "deliver: { sqlserver: { connection: c, table: t, mode: insert } }\n";
    let back = "return: { write: { A: a } }\n";
    for (text, expected) in [
        (base("cdc", receive), vec![]),
        (base("cdc", ""), vec![]),
        (base("json", receive), vec!["M052 rows of `postgres` arrive as changes"]),
        (base("json", &format!("{deliver}{back}")), vec![]),
        (
            base("xml", &format!("{deliver}return: {{ into: R, write: {{ A: a }} }}\n")),
            vec!["M052 a reply of kind xml can not be written by `sqlserver`"],
        ),
        (
            base("json", &format!("{}{back}", deliver.replace("insert", "update"))),
            vec!["M056 `sqlserver` does not say by which column the row is found"],
        ),
        (base("cdc", deliver), vec!["M058 nothing says what is written by `sqlserver`"]),
        (
            base("json", "deliver: { postgres: {} }\n"),
            vec!["M058 nothing", "M012 `postgres` needs `connection`"],
        ),
        (
            base("cdc", "receive: { soap: { service: S, operation: O } }\n"),
            vec!["M052 documents that arrive by `soap` are no changes of rows"],
        ),
    ] {
        let got = problems(&check(&text));
        let same =
            got.len() == expected.len() && got.iter().zip(&expected).all(|(got, it)| got.starts_with(it));
        assert!(same, "{text}: {got:#?}");
    }
    let got = problems(&compile_bare(&base("json", receive)));
    assert!(got.contains(&"M016 this binary has no adapter to receive by `postgres`".to_owned()), "{got:?}");
}

#[test]
fn sizes_are_bytes_as_postgresql_counts() {
    for (text, expected) in [
        ("1GB", Some(1 << 30)),
        ("16 MB", Some(16 << 20)),
        ("8kB", Some(8_192)),
        ("8KB", Some(8_192)),
        ("5B", Some(5)),
        ("2TB", Some(2 << 40)),
        ("1", None),
        ("1gb", None),
        ("-1GB", None),
        ("1.5GB", None),
        ("99999999999999999999GB", None),
        ("16777216TB", None),
        ("", None),
        ("é", None),
    ] {
        assert_eq!(size(text), expected, "input: {text}");
    }
}
