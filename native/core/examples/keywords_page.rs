//! Prints `docs/keywords.md`.
#![allow(missing_docs)]

fn main() {
    print!("{}", tapwarden_core::rule::keyword::document::page());
}
