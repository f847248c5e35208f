//! The log on standard error. `VESTIBULE_LOG` chooses what is said, e.g. `warn` or `vestibule_core=debug`.

use tracing_subscriber::EnvFilter;

use crate::{config::LogFormat, screen};

/// The variable that chooses what is said.
const FILTER: &str = "VESTIBULE_LOG";

/// Starts the log. A filter that can not be read is said and replaced by `default`.
pub fn start(format: LogFormat, default: &str) {
    let wanted = std::env::var(FILTER).unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
        screen::tell(&format!("{FILTER} can not be read ({error}); using `{default}`"));
        EnvFilter::new(default)
    });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(screen::errors_have_color());
    // A panic's own text may hold what a caller sent; where it happened is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
    }));
    // A second start, as in tests, keeps the first log.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
