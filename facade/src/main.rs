//! `vestibule`: AI behind legacy systems nobody can change. Arguments, exit code, nothing else.

mod adapters;
mod command;
mod config;
mod explain;
mod house;
mod http;
mod log;
mod operators;
mod posting;
mod reviewing;
mod screen;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::Line::parse().run().into()
}
