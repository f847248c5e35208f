//! The log on standard error. `VESTIBULE_LOG` chooses what is said, e.g. `warn` or `vestibule_core=debug`.

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{config::LogFormat, screen};

/// The variable that chooses what is said.
const FILTER: &str = "VESTIBULE_LOG";

/// True for what our own crates say. Words of libraries hold payloads: whole messages that came back, parameters of
/// statements, headers of requests. Our adapters say what goes wrong with them, so nothing of theirs is logged, whatever the
/// filter says; a list of those that do harm would be one short after the next update.
fn is_ours(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or_default();
    krate.strip_prefix("vestibule").is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Starts the log. A filter that can not be read is said and replaced by `default`.
pub fn start(format: LogFormat, default: &str) {
    let wanted = std::env::var(FILTER).unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
        screen::tell(&format!("{FILTER} can not be read ({error}); using `{default}`"));
        EnvFilter::new(default)
    });
    let filter = filter.and(filter_fn(|about| is_ours(about.target())));
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(screen::errors_have_color());
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // A panic's own text may hold what a caller sent; where it happened is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
    }));
    // A second start, as in tests, keeps the first log.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_never_heard() {
        for (target, expected) in [
            ("vestibule", true),
            ("vestibule::http", true),
            ("vestibule_core::runner", true),
            ("vestibules", false),
            ("lapin::channel", false),
            ("tokio_postgres::query", false),
            ("hyper_util::client", false),
            ("", false),
        ] {
            assert_eq!(is_ours(target), expected, "input: {target}");
        }
    }
}
