//! The decision, step by step.
