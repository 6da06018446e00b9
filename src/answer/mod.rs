//! What clients are answered: why a request was refused (RFC 9457), and how to authenticate.

mod challenges;
mod ready;
mod reason;
mod reply;

pub use challenges::Challenges;
pub(crate) use ready::Ready;
pub use reason::Reason;
pub use reply::{Document, Reply};
