//! Results out: signed posts to a URL.

mod callbacks;
mod place;
mod poster;

pub use callbacks::Callbacks;
pub use place::place;
pub use poster::{Post, PostError, Poster, probe};
