//! `vestibule amqp`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{End, Stop, outset};
use crate::{screen, wiring::Plans};

/// Look at what mappings expect of a message broker
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule amqp topology samples/queue")]
pub struct Amqp {
    #[command(subcommand)]
    command: AmqpCommand,
}

#[derive(Debug, Subcommand)]
enum AmqpCommand {
    Topology(Topology),
}

/// Print the queues, exchanges and bindings that `serve` expects to find or, with `declare: yes`, declares
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule amqp topology samples/queue --json

Nothing is connected to and nothing is declared.")]
struct Topology {
    /// Directory with `vestibule.yaml` and `mappings/`
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Amqp {
    /// Prints.
    pub fn run(self) -> Result<End, Stop> {
        match self.command {
            AmqpCommand::Topology(it) => it.run(),
        }
    }
}

impl Topology {
    fn run(self) -> Result<End, Stop> {
        let registry = outset::registry();
        let mut plans = Plans::read(outset::directory(&self.dir)?, &registry);
        let runtime = outset::runtime()?;
        // Nothing is connected to: secrets may be where only the server runs.
        let secrets = |name: &str| outset::secrets(name).or_else(|| Some(outset::STAND_IN.to_owned()));
        let inside = runtime.enter();
        let house = plans.assemble(&registry, &secrets);
        drop(inside);
        if !plans.report.is_clean() {
            return Err(outset::wrong_files(&plans));
        }
        let mut out = String::new();
        for flow in &house.flows {
            let mapping = &flow.mapping;
            let received = mapping.receive.iter().map(|it| ("receive", it));
            let delivered = mapping.handling.deliver.iter().map(|it| ("deliver", it));
            for (way, channel) in received.chain(delivered).filter(|(_, it)| &*it.kind == "amqp") {
                let name = channel.get("connection").unwrap_or_default();
                let connection = house.channels.connections.iter().find(|it| it.name() == name);
                let lines = connection.map(|it| it.topology(mapping, channel)).unwrap_or_default();
                if !self.json {
                    out.push_str(&format!("{} ({way} by {name})\n", mapping.name));
                }
                for line in lines {
                    if self.json {
                        let flow = &*mapping.name;
                        let one = json!({ "flow": flow, "way": way, "connection": name, "line": line });
                        out.push_str(&format!("{one}\n"));
                    } else {
                        out.push_str(&format!("  {line}\n"));
                    }
                }
            }
        }
        if out.is_empty() && !self.json {
            out.push_str("no mapping receives or delivers by amqp\n");
        }
        screen::print(&out)?;
        Ok(End::Done)
    }
}
