//! The names that conditions may use: the fields of the record, and those of its lists.

use vestibule_core::{
    mapping::plan::{FieldPlan, From, Shape},
    rule::{Root, Scope, Slot, Type},
};

/// Every field of the record by its clean name; `lines.amount` is the list of all amounts.
pub(crate) fn of_record(shape: &Shape) -> Scope {
    let mut scope = Scope::default();
    declare(&mut scope, shape, "", &Slot { root: Root::Here, path: Default::default() }, false);
    scope
}

fn declare(scope: &mut Scope, shape: &Shape, prefix: &str, around: &Slot, in_list: bool) {
    for (position, field) in shape.fields.iter().enumerate() {
        // A shape of more fields than a slot can count is refused when the mapping is compiled.
        let Ok(position) = u16::try_from(position) else { return };
        let mut here = around.clone();
        here.path.push(position);
        let name = format!("{prefix}{}", field.name);
        match &field.from {
            From::Each { shape, .. } => {
                scope.declare(name.as_str(), Type::List(Box::new(Type::Record)), here.clone());
                declare(scope, shape, &format!("{name}."), &here, true);
            }
            _ if in_list => scope.declare(name, Type::List(Box::new(type_of(field))), here),
            _ => scope.declare(name, type_of(field), here),
        }
    }
}

/// What a field's value is for a rule.
fn type_of(field: &FieldPlan) -> Type {
    Type::of(&field.codec, field.rules.one_of.as_deref())
}
