//! How fast changes come out of PostgreSQL's log, against `pg_recvlogical` on the same log, and what memory a huge
//! transaction takes. `benches/databases/run --help` lists the options.

mod log;

use std::process::ExitCode;

const HELP: &str = "\
Measures the capture of changes by PostgreSQL's log, beside pg_recvlogical in the same run.

Usage: benches/databases/run [rate] [memory] [latency] [options]     (nothing named: all)

  rate      changes a second as documents, over the rate of pg_recvlogical from the same place of the log
  memory    the most resident memory while a transaction of a million rows is read, in MB
  latency   median time from a commit to the document of its row, in ms

Options:
  --rounds N   rounds of `rate`, interleaved with the peer; the median ratio is printed (3)
  --rows N     rows of `rate` (200000)
  --batch N    rows of one transaction of `rate` (100)
  --huge N     rows of the transaction of `memory` (1000000)
  --check      end with 1 when a bar is missed: rate >= 0.8, memory <= 50, latency <= 2

Example: benches/databases/run rate --batch 1 --check";

/// What the command line says.
pub struct Wanted {
    parts: Vec<String>,
    pub rounds: usize,
    pub rows: usize,
    pub batch: usize,
    pub huge: usize,
    check: bool,
}

impl Wanted {
    fn read() -> Result<Self, String> {
        let mut wanted =
            Self { parts: Vec::new(), rounds: 3, rows: 200_000, batch: 100, huge: 1_000_000, check: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number =
                || words.next().and_then(|it| it.parse().ok()).ok_or(format!("{word} needs a number"));
            match word.as_str() {
                "rate" | "memory" | "latency" => wanted.parts.push(word),
                "--rounds" => wanted.rounds = number()?,
                "--rows" => wanted.rows = number()?,
                "--batch" => wanted.batch = number()?,
                "--huge" => wanted.huge = number()?,
                "--check" => wanted.check = true,
                _ => return Err(format!("`{word}` is not known here; see --help")),
            }
        }
        if wanted.parts.is_empty() {
            wanted.parts = ["memory", "rate", "latency"].map(str::to_owned).to_vec();
        }
        Ok(wanted)
    }
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
    let mut is_reached = true;
    for part in &wanted.parts {
        eprintln!("benches: {part}");
        let measured = runtime.block_on(async {
            match part.as_str() {
                "rate" => log::rate(&wanted).await.map(|(it, about)| (it, it >= 0.8, "at least 0.8", about)),
                "memory" => {
                    log::memory(&wanted).await.map(|(it, about)| (it, it <= 50.0, "at most 50", about))
                }
                _ => log::latency().await.map(|(it, about)| (it, it <= 2.0, "at most 2", about)),
            }
        });
        match measured {
            Ok((figure, reached, bar, about)) => {
                is_reached &= reached;
                let missed = if reached { "" } else { "  MISSED" };
                println!("{part:10} {figure:.2}   ({bar}){missed}   {about}");
            }
            Err(cause) => {
                eprintln!("benches: {part}: {cause}");
                return ExitCode::FAILURE;
            }
        }
    }
    if wanted.check && !is_reached { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
