use super::*;
use crate::quote::Table;

fn columns() -> Vec<Column> {
    let column = |name: &str, kind: &str, declared: &str| Column {
        name: name.into(),
        kind: kind.into(),
        declared: declared.into(),
    };
    vec![
        column("no", "int", "int"),
        column("risk]", "decimal", "decimal(9,2)"),
        column("rv", "timestamp", "binary(8)"),
    ]
}

fn deliver(mode: Mode, on_conflict: OnConflict) -> Deliver {
    Deliver {
        target: Table { schema: "dbo".into(), name: "orders".into() },
        mode,
        key: vec!["no".into()],
        version: Some("rv".into()),
        on_conflict,
        schema: "vestibule".into(),
    }
}

fn result() -> Write {
    Write {
        message: "ms:1".into(),
        flow: "orders".into(),
        relation: "dbo.orders".into(),
        values: vec![("risk]".into(), Some("0.5'; DROP TABLE x".into()))],
        key: vec![("no".into(), "7".into())],
        version: Some(("rv".into(), Some("AAAAAAAAB9E=".into()))),
    }
}

#[test]
fn an_update_is_one_transaction_with_the_ledger_and_tests_the_version() {
    let made = statement(&deliver(Mode::Update, OnConflict::Review), &result(), &columns()).unwrap();
    insta::assert_snapshot!("update", made.sql);
    let values: Vec<_> = made.values.iter().map(|it| it.as_deref().unwrap()).collect();
    assert_eq!(values, ["ms:1", "0.5'; DROP TABLE x", "7", "00000000000007D1"]);
}

#[test]
fn a_conflict_is_skipped_or_asked_for_again() {
    let skip = statement(&deliver(Mode::Update, OnConflict::Skip), &result(), &columns()).unwrap();
    assert!(skip.sql.contains("SET outcome = N'skipped'") && !skip.sql.contains("N'changed'"));
    let retry = statement(&deliver(Mode::Update, OnConflict::Retry), &result(), &columns()).unwrap();
    assert!(retry.sql.contains("INSERT INTO [vestibule].[signal]"), "{}", retry.sql);
    assert_eq!(retry.values.last().unwrap().as_deref(), Some(r#"["7"]"#));
}

#[test]
fn rows_are_inserted_and_procedures_called_with_parameters() {
    let insert = statement(&deliver(Mode::Insert, OnConflict::Review), &result(), &columns()).unwrap();
    assert!(
        insert.sql.contains("INSERT INTO [dbo].[orders] ([risk]]]) VALUES (CONVERT(decimal(9,2), @P2));"),
        "{}",
        insert.sql
    );
    let mut write = result();
    write.values = vec![("rv".into(), None)];
    let call = statement(&deliver(Mode::Call, OnConflict::Review), &write, &columns()).unwrap();
    assert!(call.sql.contains("EXEC [dbo].[orders] @no = @V0, @rv = @V1;"), "{}", call.sql);
}

#[test]
fn a_name_that_is_not_in_the_catalogue_is_refused() {
    let mut write = result();
    write.values = vec![("risk] = 1; --".into(), None)];
    let refused = statement(&deliver(Mode::Update, OnConflict::Review), &write, &columns()).unwrap_err();
    assert!(refused.message.contains("D126"), "{refused}");
}

#[test]
fn a_place_reads_back_as_what_it_was_made_of() {
    let deliver = deliver(Mode::Update, OnConflict::Retry);
    assert_eq!(Deliver::of_place(&deliver.to_place("sqlserver x")), Some(deliver));
}
