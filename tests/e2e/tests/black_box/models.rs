//! Filled when the aimock fixtures are in.
