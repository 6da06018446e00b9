//! Requests decided without Envoy: by the module's own engine, with what surrounds it stood in for.
//!
//! Nothing here decides anything. A policy is compiled as the module would, with keys that are given or made in place of
//! those that would be fetched; a request becomes the head that the host would read, and what is decided is carried out on
//! it. So whatever is told of a request offline is what Envoy would do with it.

mod asked;
mod filled;
mod gateway;
mod kept;
mod loaded;
mod minted;
mod outcome;
pub(super) mod places;

pub(super) use self::{
    asked::Asked,
    filled::filled,
    gateway::{Gateway, Prepared},
    kept::Entry,
    loaded::{Which, load, load_filled},
    minted::{Described, Keys, Minted},
    outcome::Outcome,
};
