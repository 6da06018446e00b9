//! Tests over several parts of this module. Those of one part stand beside it.

mod key_sets;
pub(crate) mod tokens;
mod vectors;
