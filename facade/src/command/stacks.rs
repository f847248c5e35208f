//! Stacks that are deep enough for what others may send.
//!
//! lapin reads the headers of a message by recursion, without a limit of its own, on a thread that it starts with the
//! stack that threads have by default: a message with lists in lists could end the process. A frame bounds how deep they
//! are, about 26,000 levels; and the only way to choose that thread's stack is the environment of the process.

use super::Stop;

/// What the standard library reads when it starts the first thread.
const VARIABLE: &str = "RUST_MIN_STACK";
/// Seven kilobytes a level are used without optimisation, far less with it. What is not used costs nothing.
const BYTES: usize = 256 << 20;

/// Makes sure that every thread has a deep stack, by starting this program anew in this very process where it must.
/// Must be called before anything is opened. An operator's own, deeper choice stays.
#[cfg(unix)]
pub fn deepen() -> Result<(), Stop> {
    use std::os::unix::process::CommandExt;

    let chosen = std::env::var(VARIABLE).ok().and_then(|it| it.parse::<usize>().ok());
    if chosen.is_some_and(|it| it >= BYTES) {
        return Ok(());
    }
    let failed =
        |error| Stop::not_reachable(format!("this program could not be started with deep stacks: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    Err(failed(again.args(arguments).env(VARIABLE, BYTES.to_string()).exec()))
}

/// Elsewhere the stacks are what they are.
#[cfg(not(unix))]
pub fn deepen() -> Result<(), Stop> {
    Ok(())
}
