//! Black-box tests of the binary, with real clients, and the tests of the rules of the house.

mod house;
