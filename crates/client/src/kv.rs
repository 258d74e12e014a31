//! Keys and values.

use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RangeStreamResponse, TxnRequest, TxnResponse, request_op,
};
use proto::methods::path;
use tonic::Streaming;

use crate::Client;
use crate::call::{Asked, Repeat, in_time};
use crate::error::{Error, Result};

impl Client {
    /// Reads a key or a range of keys at one revision.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse> {
        self.unary(path::RANGE, Repeat::Safe, request).await
    }

    /// Reads a range in pieces and puts them together, all in the time of one
    /// call. Servers before 3.7 answer `Unimplemented`.
    pub async fn range_stream(&self, request: RangeRequest) -> Result<RangeResponse> {
        let mut asked = None;
        let result = in_time(self.deadline(), self.pieces(request, &mut asked)).await;
        self.name_the_silent(result, asked)
    }

    /// The last piece is the one with header, `more` and `count`.
    async fn pieces<'a>(&'a self, request: RangeRequest, asked: &mut Asked<'a>) -> Result<RangeResponse> {
        let mut pieces: Streaming<RangeStreamResponse> = self.server_stream(path::RANGE_STREAM, request, asked).await?;
        let mut whole = RangeResponse::default();
        let broken = |status| Error::from_transport(&status, None);
        while let Some(piece) = pieces.message().await.map_err(broken)? {
            let piece = piece.range_response.unwrap_or_default();
            whole.kvs.extend(piece.kvs);
            whole.header = piece.header.or(whole.header);
            whole.more |= piece.more;
            whole.count = whole.count.max(piece.count);
        }
        Ok(whole)
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
