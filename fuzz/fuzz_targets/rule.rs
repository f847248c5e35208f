#![no_main]
//! Any text to the rule language: it is refused with a span, or it runs, whatever is missing.

use libfuzzer_sys::fuzz_target;
use vestibule_core::{
    mapping::diagnostic::Diagnostics,
    rule::{Bindings, Clock, Operand, Root, Rule, Scope, Slot, Type},
};

struct Mixed;

impl Bindings for Mixed {
    fn value(&self, slot: &Slot) -> Operand<'_> {
        let numbers = || {
            ["1.5", "-3", "79228162514264337593543950335"]
                .map(|it| Operand::Number(it.parse().expect("a number")))
        };
        match slot.path.first() {
            Some(0) => Operand::Number("12.50".parse().expect("a number")),
            Some(1) => Operand::Text("stolen again".into()),
            Some(2) => Operand::Date("2026-11-20".parse().expect("a date")),
            Some(3) => Operand::Bool(true),
            Some(4) => Operand::List(numbers().to_vec()),
            Some(5) => Operand::DateTime("2026-11-20T10:00:00Z".parse().expect("an instant")),
            _ => Operand::Missing,
        }
    }
}

fuzz_target!(|text: &str| {
    let mut scope = Scope::default();
    let slot = |at: u16| Slot { root: Root::Here, path: [at].into_iter().collect() };
    let names = [
        ("n", Type::Number),
        ("t", Type::Text),
        ("d", Type::Date),
        ("b", Type::Bool),
        ("l.n", Type::List(Box::new(Type::Number))),
        ("w", Type::DateTime),
        ("m", Type::Number),
    ];
    for (at, (name, kind)) in names.into_iter().enumerate() {
        scope.declare(name, kind, slot(at as u16));
    }
    let mut found = Diagnostics::default();
    let rule = Rule::compile(text, &scope, None, &mut found, &|span| span);
    match rule {
        None => assert!(!found.all.is_empty(), "refused without a word"),
        Some(rule) => {
            let clock = Clock {
                now: "2026-11-20T10:00:00Z".parse().expect("an instant"),
                zone: jiff::tz::TimeZone::UTC,
            };
            let _ = rule.run(&Mixed, &clock);
        }
    }
});
