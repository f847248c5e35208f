//! `vestibule schema`

use clap::{Args, ValueEnum};

use super::{End, Stop};
use crate::{adapters, config, screen};

/// Print the JSON Schema that editors complete and check with, or the SQL of the shared store
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vestibule schema mapping > mapping.schema.json
  vestibule schema store > store.sql

A mapping names its schema in a line:  # yaml-language-server: $schema=mapping.schema.json
The SQL of the store is for a database where no program may make tables: an owner reads it and runs it.")]
pub struct Schema {
    /// Of which file
    #[arg(value_enum, default_value_t = Of::Mapping)]
    of: Of,
    /// Of `store`: the schema in which the tables are to be, where it is not `vestibule`
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// *.map.yaml
    Mapping,
    /// vestibule.yaml
    Config,
    /// *.rules.yaml
    Rules,
    /// SQL: the tables of the store in PostgreSQL
    Store,
}

impl Schema {
    /// Prints it.
    pub fn run(self) -> Result<End, Stop> {
        if self.schema.is_some() && self.of != Of::Store {
            return Err(Stop::wrong_use("--schema has a meaning for `schema store` alone"));
        }
        let text = match self.of {
            Of::Mapping => format!("{:#}\n", vestibule_core::mapping::json_schema()),
            Of::Config => format!("{:#}\n", config::json_schema()),
            Of::Rules => format!("{:#}\n", adapters::rules_schema()),
            Of::Store => adapters::store_sql(self.schema.as_deref()).ok_or_else(|| {
                Stop::wrong_use("--schema: expected lower-case letters, digits and `_`, at most 40")
            })?,
        };
        screen::print(&text)?;
        Ok(End::Done)
    }
}
