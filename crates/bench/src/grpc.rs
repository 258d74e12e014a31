//! gRPC's own frame around a message: one byte that says "not compressed", four
//! of length. A request and its reply have one message each, a stream has many.

use prost::Message;

const PREFIX_BYTES: usize = 5;

/// Makes `out` the frame of this message, whatever it held before.
pub fn frame(message: &impl Message, out: &mut Vec<u8>) {
    out.clear();
    let length = u32::try_from(message.encoded_len()).expect("a request of a load is small");
    out.push(0);
    out.extend_from_slice(&length.to_be_bytes());
    message.encode(out).expect("a vector grows");
}

/// The first frame in these bytes with its prefix, when it is there to its end.
pub fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    let [_, length @ ..] = bytes.first_chunk::<PREFIX_BYTES>()?;
    bytes.get(..PREFIX_BYTES + u32::from_be_bytes(*length) as usize)
}

/// The one message in the body of a reply.
///
/// # Errors
/// In words, when the body is not exactly one plain message of this type.
pub fn message<M: Message + Default>(body: &[u8]) -> Result<M, String> {
    let Some(([compressed, length @ ..], message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(format!("a reply of {} bytes is no gRPC frame", body.len()));
    };
    if *compressed != 0 {
        return Err("a compressed reply, which nobody asked for".to_owned());
    }
    let length = u32::from_be_bytes(*length) as usize;
    if length != message.len() {
        return Err(format!("a reply says {length} bytes and has {}", message.len()));
    }
    M::decode(message).map_err(|error| format!("a reply that cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::{PutRequest, PutResponse};

    use super::*;

    #[test]
    fn a_framed_message_comes_back() {
        let request = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
        let mut body = b"left over".to_vec();
        frame(&request, &mut body);
        assert_eq!(body, [0, 0, 0, 0, 6, 0x0a, 1, b'k', 0x12, 1, b'v']);
        assert_eq!(message::<PutRequest>(&body), Ok(request));
    }

    #[test]
    fn the_first_frame_ends_where_it_says() {
        let bytes = [0, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 1];
        assert_eq!(first_frame(&bytes), Some(&bytes[..7]));
        for short in [&bytes[..0], &bytes[..4], &bytes[..6], &bytes[7..]] {
            assert_eq!(first_frame(short), None);
        }
        assert_eq!(first_frame(&[0, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn half_a_frame_is_refused_in_words() {
        for (body, words) in [
            (&[][..], "a reply of 0 bytes is no gRPC frame"),
            (&[1, 0, 0, 0, 0], "a compressed reply, which nobody asked for"),
            (&[0, 0, 0, 0, 1], "a reply says 1 bytes and has 0"),
        ] {
            assert_eq!(message::<PutResponse>(body), Err(words.to_owned()));
        }
        assert!(message::<PutResponse>(&[0, 0, 0, 0, 1, 0xff]).unwrap_err().contains("cannot be decoded"));
    }
}
