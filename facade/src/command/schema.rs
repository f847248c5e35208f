//! `vestibule schema`

use clap::{Args, ValueEnum};

use super::{End, Stop};
use crate::{adapters, config, screen};

/// Print the JSON Schema that editors complete and check with
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule schema mapping > mapping.schema.json
  and in a mapping:  # yaml-language-server: $schema=mapping.schema.json")]
pub struct Schema {
    /// Of which file
    #[arg(value_enum, default_value_t = Of::Mapping)]
    of: Of,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// *.map.yaml
    Mapping,
    /// vestibule.yaml
    Config,
    /// *.rules.yaml
    Rules,
}

impl Schema {
    /// Prints it.
    pub fn run(self) -> Result<End, Stop> {
        let schema = match self.of {
            Of::Mapping => vestibule_core::mapping::json_schema(),
            Of::Config => config::json_schema(),
            Of::Rules => adapters::rules_schema(),
        };
        screen::print(&format!("{schema:#}\n"))?;
        Ok(End::Done)
    }
}
