//! The gRPC stream by which something in etcd is watched, of which one worker has one.

use std::cell::Cell;

use super::host_calls::{Failed, Host};
use crate::{
    etcd::Token,
    replica::{WatchEvent, WatchStep},
};

/// The most of a message that is read.
const MAX_MESSAGE: usize = 1024;

#[derive(Default)]
pub(super) struct EtcdWatch {
    /// By the host's token; `None`: there is none.
    stream: Cell<Option<u32>>,
}

impl EtcdWatch {
    /// Does what the watch needs; answers what came of it so far.
    pub(super) fn carry_out(&self, host: &impl Host, step: WatchStep) -> Option<WatchEvent<'static>> {
        match step {
            WatchStep::Ask { cluster, token, request } => {
                self.leave(host);
                let asked = self.ask(host, &cluster, token.as_ref(), &request);
                asked.err().map(|Failed| WatchEvent::NotOpened)
            }
            WatchStep::Leave => {
                self.leave(host);
                None
            }
        }
    }

    /// Its end is told as that of a stream that is not ours any more.
    fn leave(&self, host: &impl Host) {
        if let Some(stream) = self.stream.take() {
            host.close_grpc_stream(stream);
        }
    }

    fn ask(
        &self,
        host: &impl Host,
        cluster: &str,
        token: Option<&Token>,
        request: &[u8],
    ) -> Result<(), Failed> {
        // A member of etcd that has lost its leader ends the watch, instead of saying nothing.
        let mut metadata = vec![("hasleader", "true")];
        metadata.extend(token.map(|token| ("token", token.as_str())));
        let stream = host.open_grpc_stream(cluster, "etcdserverpb.Watch", "Watch", &metadata)?;
        if host.send_by_grpc_stream(stream, request).is_err() {
            host.forget_grpc_stream(stream);
            return Err(Failed);
        }
        self.stream.set(Some(stream));
        Ok(())
    }

    /// The beginning of a message that has come by it.
    pub(super) fn message(&self, host: &impl Host, token: u32, size: usize) -> Option<Vec<u8>> {
        // What cannot be had is as good a reason to look.
        (self.stream.get() == Some(token))
            .then(|| host.grpc_message(size.min(MAX_MESSAGE)).unwrap_or_default())
    }

    /// A stream has ended; whether it was this one.
    pub(super) fn end(&self, token: u32) -> bool {
        let is_ours = self.stream.get() == Some(token);
        if is_ours {
            self.stream.set(None);
        }
        is_ours
    }
}
