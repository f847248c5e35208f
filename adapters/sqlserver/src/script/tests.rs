use super::*;
use crate::receive::{Mode, OnConflict};

fn needs() -> Needs {
    let deliver = Deliver {
        target: crate::tests::receive().table,
        mode: Mode::Update,
        key: vec!["no".into()],
        version: None,
        on_conflict: OnConflict::Review,
        schema: "vestibule".into(),
    };
    Needs { receive: vec![crate::tests::receive()], deliver: vec![("orders".into(), deliver)] }
}

#[test]
fn the_trigger_joins_both_images_by_the_key_and_lets_write_backs_pass() {
    let receive = crate::tests::receive();
    let text = body(&receive, &trigger_name(&receive), &receive.table.quoted());
    insta::assert_snapshot!(text.replace(CAPTURE, "{capture}").replace(OLD, "{old}").replace(NEW, "{new}"));
}

#[test]
fn what_is_installed_reads_the_same_each_time() {
    let made = scripts(&needs(), "app");
    assert_eq!(made, scripts(&needs(), "app"));
    insta::assert_snapshot!("install", made.install);
    insta::assert_snapshot!("uninstall", made.uninstall);
    insta::assert_snapshot!("verify", made.verify);
    assert!(made.install.contains(&made.grants));
}

#[test]
fn nothing_of_a_mapping_leaves_its_quotes() {
    let odd = "x'; DROP TABLE y; --]";
    let receive = Receive {
        flow: odd.into(),
        columns: vec![odd.into()],
        key: vec![odd.into()],
        schema: odd.into(),
        ..crate::tests::receive()
    };
    let made = scripts(&Needs { receive: vec![receive], deliver: Vec::new() }, odd);
    for text in [&made.install, &made.uninstall, &made.verify, &made.grants] {
        let outside = outside_of_quotes(text);
        assert!(!outside.contains("DROP TABLE y"), "{outside}");
    }
}

/// What of a script is neither in a literal, nor in a quoted name, nor in a comment.
fn outside_of_quotes(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(one) = rest.next() {
        let end = match one {
            '\'' => '\'',
            '[' => ']',
            '-' if rest.peek() == Some(&'-') => {
                rest.by_ref().find(|it| *it == '\n');
                continue;
            }
            _ => {
                out.push(one);
                continue;
            }
        };
        while let Some(inner) = rest.next() {
            if inner == end && rest.next_if_eq(&end).is_none() {
                break;
            }
        }
    }
    out
}

#[test]
fn without_needs_there_is_nothing_to_run() {
    let made = scripts(&Needs::default(), "app");
    assert_eq!([made.install, made.grants, made.verify, made.uninstall], ["", "", "", ""]);
}
