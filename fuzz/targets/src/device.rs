//! The local interfaces of a device: every message has exactly one encoding.

use std::fmt::Debug;

use device::{Message, broker, frame, tee, ua};

/// Broker to Agent.
pub fn device_broker(bytes: &[u8]) {
    one_encoding::<broker::Request>(bytes);
    one_encoding::<broker::Reply>(bytes);
    framed::<broker::Request>(bytes);
}

/// Agent to TEE.
pub fn device_tee(bytes: &[u8]) {
    one_encoding::<tee::Request>(bytes);
    one_encoding::<tee::Reply>(bytes);
    framed::<tee::Reply>(bytes);
}

/// UA to Broker.
pub fn device_ua(bytes: &[u8]) {
    one_encoding::<ua::Request>(bytes);
    one_encoding::<ua::Reply>(bytes);
    framed::<ua::Request>(bytes);
}

fn one_encoding<M: Message>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        assert_eq!(message.encode(), bytes, "a message has a second encoding");
    }
}

/// A stream of frames is read to its end, and the reader of a buffer finds the same first frame.
fn framed<M: Message + Debug>(bytes: &[u8]) {
    let mut stream = bytes;
    let first = frame::read_frame(&mut stream);
    if let Ok(Some(body)) = frame::first(bytes) {
        let read = first.as_ref().ok().and_then(Option::as_deref);
        assert_eq!(read, Some(body), "two readers see two frames");
        let framed = frame::encode(body).expect("what was read can be written");
        assert_eq!(framed, bytes[..framed.len()], "a frame has a second encoding");
    }
    let mut stream = bytes;
    while let Ok(Some(_)) = frame::receive::<M>(&mut stream) {}
}
