//! The black-box tests of the `vestibule` binary are in `tests/black_box`; this library is empty on purpose.
