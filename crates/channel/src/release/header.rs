//! The header of a release, under the owner's signature.

use cose::{
    Key,
    cbor::{self, Decoder, Malformed},
};

use super::{CALLERS_MAX, DEPLOYMENT_BYTES_MAX, Lease, Options};
use crate::{Refused, codec};

/// What the owner says in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) owner: Key,
    pub(super) deployment: String,
    pub(super) callers: Vec<Key>,
    pub(super) options: Options,
}

impl Header {
    /// Encodes a header that a receiver will read.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Refused> {
        if !fits(&self.deployment) {
            return Err(Refused::Malformed("the name of a deployment"));
        }
        if self.callers.len() as u64 > CALLERS_MAX {
            return Err(Refused::TooLarge(CALLERS_MAX as usize));
        }
        Ok(cbor::encode(|e| {
            e.map(3 + u64::from(self.options.lease.is_some()))?.u8(OWNER)?;
            codec::put_key(e, &self.owner)?;
            e.u8(DEPLOYMENT)?.str(&self.deployment)?;
            e.u8(CALLERS)?.array(self.callers.len() as u64)?;
            self.callers.iter().try_for_each(|caller| codec::put_key(e, caller))?;
            let Some(lease) = &self.options.lease else { return Ok(()) };
            e.u8(OPTIONS)?.map(1)?.u8(LEASE)?.array(2)?.u64(lease.seconds)?;
            match &lease.renewal {
                Some(key) => codec::put_key(e, key),
                None => e.null()?.ok(),
            }
        }))
    }

    /// Reads a header. A member that is not known here could be a condition, so it is refused.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let what = "the header of a release";
        let limits = cbor::Limits { bytes: bytes.len(), ..cbor::Limits::DEFAULT };
        cbor::check_deterministic(bytes, limits)
            .and_then(|()| cbor::whole(bytes, read))
            .map_err(|_| Refused::Malformed(what))
    }
}

fn read(d: &mut Decoder<'_>) -> Result<Header, Malformed> {
    let count = d.map()?;
    if !matches!(count, Some(3 | 4)) {
        return Err(Malformed::Expected("a header of three or four members"));
    }
    label(d, OWNER)?;
    let owner = codec::key(d)?;
    label(d, DEPLOYMENT)?;
    let deployment = d.str()?.to_owned();
    if !fits(&deployment) {
        return Err(Malformed::Expected("the name of a deployment"));
    }
    label(d, CALLERS)?;
    let callers = d.array()?.filter(|count| *count <= CALLERS_MAX);
    let callers = callers.ok_or(Malformed::Expected("a list of callers"))?;
    let callers = (0..callers).map(|_| codec::key(d)).collect::<Result<_, _>>()?;
    let mut options = Options::default();
    if count == Some(4) {
        label(d, OPTIONS)?;
        if d.map()? != Some(1) {
            return Err(Malformed::Expected("one option"));
        }
        label(d, LEASE)?;
        options.lease = Some(lease(d)?);
    }
    Ok(Header { owner, deployment, callers, options })
}

fn lease(d: &mut Decoder<'_>) -> Result<Lease, Malformed> {
    if d.array()? != Some(2) {
        return Err(Malformed::Expected("a lease of two members"));
    }
    let seconds = d.u64()?;
    let renewal = match d.datatype()? {
        cbor::Type::Null => d.null().map(|()| None)?,
        _ => Some(codec::key(d)?),
    };
    Ok(Lease { seconds, renewal })
}

fn label(d: &mut Decoder<'_>, expected: u8) -> Result<(), Malformed> {
    if d.u8()? == expected { Ok(()) } else { Err(Malformed::Expected("another member")) }
}

/// The bound keeps `info` far below the longest one that HPKE takes.
fn fits(deployment: &str) -> bool {
    (1..=DEPLOYMENT_BYTES_MAX).contains(&deployment.len())
}

const OWNER: u8 = 1;
const DEPLOYMENT: u8 = 2;
const CALLERS: u8 = 3;
const OPTIONS: u8 = 4;
const LEASE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    #[test]
    fn a_header_survives_the_round_trip_and_takes_no_unknown_member() {
        let key = PrivateKey::generate(&mut keys::SystemEntropy).public().clone();
        let lease = Some(Lease { seconds: 60, renewal: Some(key.clone()) });
        let header = Header {
            owner: key.clone(),
            deployment: "d".to_owned(),
            callers: vec![key],
            options: Options { lease },
        };
        let encoded = header.encode().unwrap();
        let refused = Err(Refused::Malformed("the header of a release"));
        let mut more = encoded.clone();
        more[0] = 0xa5;
        more.extend([5, 0]);
        let mut other_option = encoded.clone();
        let at = encoded.windows(4).position(|bytes| bytes == [OPTIONS, 0xa1, LEASE, 0x82]);
        other_option[at.unwrap() + 2] = 2;

        assert_eq!(Header::decode(&encoded), Ok(header));
        assert_eq!(Header::decode(&more), refused);
        assert_eq!(Header::decode(&other_option), refused);
        assert_eq!(Header::decode(&encoded[..encoded.len() - 1]), refused);
    }
}
