//! Calls of the gRPC services, counted as etcd's middleware does: by service, method, kind and, when they end, code.

use super::table::TABLE;
use crate::grpc::{Code, Status};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use proto::methods::{METHODS, Method};
use tokio::time::Instant;

/// One row of counters for each method, found by its place in [`METHODS`].
pub(super) struct Calls(Vec<Row>);

struct Row {
    started: IntCounter,
    received: IntCounter,
    sent: IntCounter,
    /// By the number of the code.
    handled: [IntCounter; 17],
}

impl Calls {
    pub(super) fn new(registry: &Registry) -> Calls {
        let family = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels).expect("name and labels are valid");
            registry.register(Box::new(family.clone())).expect("the name is used once");
            family
        };
        let of_method = ["grpc_method", "grpc_service", "grpc_type"];
        let started = family("grpc_server_started_total", "Total number of RPCs started on the server.", &of_method);
        let received = family(
            "grpc_server_msg_received_total",
            "Total number of RPC stream messages received on the server.",
            &of_method,
        );
        let sent = family(
            "grpc_server_msg_sent_total",
            "Total number of gRPC stream messages sent by the server.",
            &of_method,
        );
        let handled = family(
            "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            &["grpc_code", "grpc_method", "grpc_service", "grpc_type"],
        );
        let row = |method: &Method| {
            let labels = [method.name, method.service, kind(method)];
            Row {
                started: started.with_label_values(&labels),
                received: received.with_label_values(&labels),
                sent: sent.with_label_values(&labels),
                handled: Code::ALL
                    .map(|code| handled.with_label_values(&[code.name(), method.name, method.service, kind(method)])),
            }
        };
        Calls(METHODS.iter().map(row).collect())
    }
}

fn kind(method: &Method) -> &'static str {
    match (method.client_streaming, method.server_streaming) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}

/// A call under way. If it is dropped without an end, its client was gone or its time was up.
pub struct Counted {
    row: &'static Row,
    deadline: Option<Instant>,
    has_ended: bool,
}

impl Counted {
    /// A call of the method at `index` of [`METHODS`] has begun.
    pub fn begin(index: usize, deadline: Option<Instant>) -> Counted {
        let row = &TABLE.calls.0[index];
        row.started.inc();
        Counted { row, deadline, has_ended: false }
    }

    /// A message has come.
    pub fn received(&self, bytes: usize) {
        self.row.received.inc();
        TABLE.received_bytes.inc_by(bytes as u64);
    }

    /// A message goes.
    pub fn sent(&self, bytes: usize) {
        self.row.sent.inc();
        TABLE.sent_bytes.inc_by(bytes as u64);
    }

    /// It has ended, well if there is no status.
    pub fn end(mut self, status: Option<&Status>) {
        self.count(status.map_or(Code::Ok, Status::code));
    }

    fn count(&mut self, code: Code) {
        self.row.handled[code as usize].inc();
        self.has_ended = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.count(if late { Code::DeadlineExceeded } else { Code::Canceled });
    }
}
