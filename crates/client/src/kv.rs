//! Keys and values.

use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RangeStreamResponse, TxnRequest, TxnResponse, request_op,
};
use proto::methods::path;
use tonic::Streaming;

use crate::Client;
use crate::call::Repeat;
use crate::error::{Error, Result};

impl Client {
    /// Reads a key or a range of keys at one revision.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse> {
        self.unary(path::RANGE, Repeat::Safe, request).await
    }

    /// Reads a range in pieces. Servers before 3.7 answer `Unimplemented`.
    pub async fn range_stream(&self, request: RangeRequest) -> Result<RangeStream> {
        let responses = self.server_stream(path::RANGE_STREAM, request).await?;
        Ok(RangeStream { responses })
    }

    /// Writes one key.
    pub async fn put(&self, request: PutRequest) -> Result<PutResponse> {
        self.unary(path::PUT, Repeat::Never, request).await
    }

    /// Deletes a key or a range of keys.
    pub async fn delete(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        self.unary(path::DELETE_RANGE, Repeat::Never, request).await
    }

    /// Guarded operations in one revision. One that only reads may be repeated.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse> {
        let repeat = if only_reads(&request) { Repeat::Safe } else { Repeat::Never };
        self.unary(path::TXN, repeat, request).await
    }

    /// Forgets history before a revision.
    pub async fn compact(&self, request: CompactionRequest) -> Result<CompactionResponse> {
        self.unary(path::COMPACT, Repeat::Never, request).await
    }
}

/// The pieces of a range, in key order.
#[derive(Debug)]
pub struct RangeStream {
    responses: Streaming<RangeStreamResponse>,
}

impl RangeStream {
    /// The next piece; None after the last, which is the one with header, `more`
    /// and `count`.
    pub async fn next(&mut self) -> Result<Option<RangeResponse>> {
        match self.responses.message().await {
            Ok(None) => Ok(None),
            Ok(Some(piece)) => Ok(Some(piece.range_response.unwrap_or_default())),
            Err(status) => Err(Error::from_transport(&status, None)),
        }
    }

    /// All pieces put together.
    pub async fn collect(mut self) -> Result<RangeResponse> {
        let mut whole = RangeResponse::default();
        while let Some(piece) = self.next().await? {
            whole.kvs.extend(piece.kvs);
            whole.header = piece.header.or(whole.header);
            whole.more |= piece.more;
            whole.count = whole.count.max(piece.count);
        }
        Ok(whole)
    }
}

/// Whether no branch writes. Nested transactions count as writes, as in etcd's
/// own client.
fn only_reads(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| matches!(op.request, Some(request_op::Request::RequestRange(_))))
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::RequestOp;

    use super::*;

    #[test]
    fn only_txns_of_ranges_are_repeated() {
        let get = RequestOp { request: Some(request_op::Request::RequestRange(RangeRequest::default())) };
        let put = RequestOp { request: Some(request_op::Request::RequestPut(PutRequest::default())) };
        let txn = |success: &[&RequestOp], failure: &[&RequestOp]| TxnRequest {
            compare: Vec::new(),
            success: success.iter().copied().cloned().collect(),
            failure: failure.iter().copied().cloned().collect(),
        };
        assert!(only_reads(&txn(&[&get], &[])));
        assert!(!only_reads(&txn(&[&get], &[&put])));
        assert!(!only_reads(&txn(&[&RequestOp::default()], &[])));
    }
}
