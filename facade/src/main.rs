//! `vestibule`.
#![allow(dead_code)]

mod adapters;
mod config;
mod house;
mod http;

fn main() {}
