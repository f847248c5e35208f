//! What durability costs: accepts and claims of the embedded store, and the AMQP bridge, each against a peer in the same
//! run. `benches/jobs/run --help` lists the options.

mod accepts;
mod bridge;
mod claims;
mod raw;

use std::process::ExitCode;

use serde_json::{Value, json};

const HELP: &str = "\
Measures what durability costs, each figure as a ratio to a peer in the same run.

Usage: benches/jobs/run [accepts] [claims] [bridge] [options]     (nothing named: all)

  accepts   durable accepts a second of 64 callers, over raw SQLite group commit by as many callers
  claims    the time of a claim beside a million finished jobs, over the time beside none
  bridge    AMQP in, rules, AMQP out with confirms, over a plain lapin loop that consumes and republishes

Options:
  --rounds N     rounds, interleaved with the peer; the median ratio is printed (3)
  --jobs N       finished jobs for `claims` (1000000)
  --messages N   messages for `bridge` (20000)
  --binary FILE  the vestibule that `bridge` starts (target/release/vestibule)
  --check        end with 1 when a bar is missed: accepts >= 0.6, claims <= 1.1, bridge >= 0.5
  --json         JSON on standard output

Example: benches/jobs/run accepts claims --check";

/// What the command line says.
struct Wanted {
    parts: Vec<String>,
    rounds: usize,
    jobs: usize,
    messages: usize,
    binary: String,
    check: bool,
    json: bool,
}

impl Wanted {
    fn read() -> Result<Self, String> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut wanted = Self {
            parts: Vec::new(),
            rounds: 3,
            jobs: 1_000_000,
            messages: 20_000,
            binary: format!("{root}/target/release/vestibule"),
            check: false,
            json: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number =
                || words.next().and_then(|it| it.parse().ok()).ok_or(format!("{word} needs a number"));
            match word.as_str() {
                "accepts" | "claims" | "bridge" => wanted.parts.push(word),
                "--rounds" => wanted.rounds = number()?,
                "--jobs" => wanted.jobs = number()?,
                "--messages" => wanted.messages = number()?,
                "--binary" => wanted.binary = words.next().ok_or("--binary needs a file")?,
                "--check" => wanted.check = true,
                "--json" => wanted.json = true,
                _ => return Err(format!("`{word}` is not known here; see --help")),
            }
        }
        if wanted.parts.is_empty() {
            wanted.parts = ["accepts", "claims", "bridge"].map(str::to_owned).to_vec();
        }
        Ok(wanted)
    }
}

/// A ratio and its bar.
pub struct Measured {
    name: &'static str,
    ratio: f64,
    /// The ratio must be at least this, or at most.
    bar: Bar,
    /// What else was seen, for people and machines.
    about: Value,
}

pub enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Measured {
    fn is_reached(&self) -> bool {
        match self.bar {
            Bar::AtLeast(bar) => self.ratio >= bar,
            Bar::AtMost(bar) => self.ratio <= bar,
        }
    }

    fn line(&self) -> String {
        let bar = match self.bar {
            Bar::AtLeast(bar) => format!("at least {bar}"),
            Bar::AtMost(bar) => format!("at most {bar}"),
        };
        let missed = if self.is_reached() { "" } else { "  MISSED" };
        format!("{:10} {:.2}   ({bar}){missed}   {}", self.name, self.ratio, self.about)
    }
}

/// The median of the rounds.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    if std::env::args().any(|it| it == "--help" || it == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let wanted = match Wanted::read() {
        Ok(wanted) => wanted,
        Err(cause) => {
            eprintln!("benches: {cause}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut all = Vec::new();
    for part in &wanted.parts {
        eprintln!("benches: {part}");
        let measured = match part.as_str() {
            "accepts" => Ok(accepts::measure(&runtime, wanted.rounds)),
            "claims" => Ok(claims::measure(&runtime, wanted.rounds, wanted.jobs)),
            _ => bridge::measure(&runtime, &wanted.binary, wanted.rounds, wanted.messages),
        };
        match measured {
            Ok(measured) => all.push(measured),
            Err(cause) => {
                eprintln!("benches: {part}: {cause}");
                return ExitCode::FAILURE;
            }
        }
    }
    for measured in &all {
        if wanted.json {
            println!(
                "{}",
                json!({ "name": measured.name, "ratio": measured.ratio, "about": measured.about })
            );
        } else {
            println!("{}", measured.line());
        }
    }
    let missed = wanted.check && all.iter().any(|it| !it.is_reached());
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
