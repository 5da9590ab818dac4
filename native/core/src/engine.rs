//! One batch, start to end: decode -> defragment -> flow -> stream -> application -> rules -> records.
