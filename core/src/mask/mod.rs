//! Hiding values from remote models.
