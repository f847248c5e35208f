//! What a DBA reads first: the SQL of installation and removal, what would go wrong, and where everything stands.

mod database;
mod grants;
mod install;
mod part;
mod preflight;
mod status;
mod text;
mod trigger;
mod uninstall;
mod verify;

#[cfg(test)]
mod tests;

use vestibule_core::{
    fault::Fault,
    ports::{Scripts, Use},
};

use self::part::Part;
pub(crate) use self::{
    database::Desk,
    part::{capture_id, channel},
    trigger::spelt,
};

/// The SQL of these uses of one database, for the connection's user.
pub(crate) fn scripts(uses: &[Use], user: &str) -> Result<Scripts, Fault> {
    of_parts(&Part::all(uses)?, user)
}

fn of_parts(parts: &[Part], user: &str) -> Result<Scripts, Fault> {
    if parts.is_empty() {
        let none = String::new;
        return Ok(Scripts { install: none(), grants: none(), verify: none(), uninstall: none() });
    }
    Ok(Scripts {
        install: install::script(parts, user)?,
        grants: grants::script(parts, user)?,
        verify: verify::script(parts, user)?,
        uninstall: uninstall::script(parts)?,
    })
}
