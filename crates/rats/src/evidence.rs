//! The Evidence that an Agent sends: an agent-layer EAT and the hardware's quote over it, in one
//! CMW collection.

use crate::binding::BoundQuote;
use crate::cmw::{Cmw, Collection, Indicator, MediaType, Record};
use crate::refusal::Malformed;
use crate::runtime::RUNTIME_LOG;

/// Evidence, unappraised.
///
/// ```cddl
/// evidence = {
///   "eat": [ "application/eat+cwt", bstr, 4 ],
///   ? "hw": [ tstr, bstr .cbor bound-quote, 4 ]        ; the media type names the family
///   ? "hw-endorsements": [ "application/vnd.tamarack.hardware-endorsements", bstr, 2 ]
///   ? "hw-runtime-log": [ "application/vnd.tamarack.runtime-log+cbor",
///                         bstr .cbor runtime-log, 4 ]
/// }
/// ```
///
/// What the hardware gives beside its quote is not covered by it: it counts as far as its own
/// signatures do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The EAT, a CWT signed by the evidence key.
    pub eat: Vec<u8>,
    /// The quote; none in a renewal over a quote that the asker has already.
    pub hardware: Option<Hardware>,
}

/// The hardware layer of Evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Which format the quote has, one of the constants of [`crate::evidence`] or another.
    pub media_type: String,
    /// The quote and the binding that it covers.
    pub bound: BoundQuote,
    /// Certificates that the hardware gave beside the quote, in the format of its family: for
    /// SEV-SNP the certificate table of the GHCB specification.
    pub endorsements: Option<Vec<u8>>,
    /// What the Agent measured into a register of the quote, a
    /// [`RuntimeLog`](crate::runtime::RuntimeLog); it counts if it replays to that register.
    pub runtime_log: Option<Vec<u8>>,
}

impl Evidence {
    /// Encodes the collection.
    pub fn encode(&self) -> Vec<u8> {
        let mut collection = Collection::new(EAT, record(EAT_MEDIA_TYPE, self.eat.clone()));
        if let Some(hardware) = &self.hardware {
            collection
                .insert(HARDWARE, record(&hardware.media_type, hardware.bound.encode()))
                .expect("the label is not the type of the collection");
            if let Some(endorsements) = &hardware.endorsements {
                let record = Record::new(
                    HARDWARE_ENDORSEMENTS,
                    endorsements.clone(),
                    Indicator::ENDORSEMENTS,
                );
                collection
                    .insert(ENDORSEMENTS, Cmw::Record(record))
                    .expect("the label is not the type of the collection");
            }
            if let Some(log) = &hardware.runtime_log {
                collection
                    .insert(RUNTIME_LOG_LABEL, record(RUNTIME_LOG, log.clone()))
                    .expect("the label is not the type of the collection");
            }
        }
        Cmw::Collection(collection).encode()
    }

    /// Reads the collection. Other messages in it are ignored.
    pub fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        let Cmw::Collection(collection) = Cmw::decode(encoded)? else {
            return Err(Malformed::Expected("a CMW collection"));
        };
        let eat = evidence(&collection, EAT)?.ok_or(Malformed::Missing(EAT.into()))?;
        if !eat.media_type.is(EAT_MEDIA_TYPE, None) {
            return Err(Malformed::ContentType);
        }
        let mut hardware =
            evidence(&collection, HARDWARE)?.map(Hardware::from_record).transpose()?;
        if let Some(hardware) = &mut hardware {
            hardware.endorsements = endorsements(&collection)?;
            if let Some(log) = evidence(&collection, RUNTIME_LOG_LABEL)? {
                if !log.media_type.is(RUNTIME_LOG, None) {
                    return Err(Malformed::ContentType);
                }
                hardware.runtime_log = Some(log.value.clone());
            }
        }
        Ok(Self { eat: eat.value.clone(), hardware })
    }
}

impl Hardware {
    fn from_record(record: &Record) -> Result<Self, Malformed> {
        let MediaType::Name(media_type) = &record.media_type else {
            return Err(Malformed::ContentType);
        };
        Ok(Self {
            media_type: media_type.to_ascii_lowercase(),
            bound: BoundQuote::decode(&record.value)?,
            endorsements: None,
            runtime_log: None,
        })
    }
}

fn record(media_type: &str, value: Vec<u8>) -> Cmw {
    Cmw::Record(Record::new(media_type, value, Indicator::EVIDENCE))
}

/// A record under this label that says it is Evidence, or says nothing.
fn evidence<'c>(collection: &'c Collection, label: &str) -> Result<Option<&'c Record>, Malformed> {
    let Some(message) = collection.entries().get(&label.into()) else { return Ok(None) };
    let record = message.record().ok_or(Malformed::Expected("a CMW record"))?;
    match record.indicator {
        Some(indicator) if !indicator.contains(Indicator::EVIDENCE) => {
            Err(Malformed::Value(label.into()))
        }
        _ => Ok(Some(record)),
    }
}

/// What the hardware gave beside its quote.
fn endorsements(collection: &Collection) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(message) = collection.entries().get(&ENDORSEMENTS.into()) else { return Ok(None) };
    let record = message.record().ok_or(Malformed::Expected("a CMW record"))?;
    if !record.media_type.is(HARDWARE_ENDORSEMENTS, None) {
        return Err(Malformed::ContentType);
    }
    match record.indicator {
        Some(indicator) if !indicator.contains(Indicator::ENDORSEMENTS) => {
            Err(Malformed::Value(ENDORSEMENTS.into()))
        }
        _ => Ok(Some(record.value.clone())),
    }
}

/// Media type of an EAT that is a CWT (RFC 9782).
pub const EAT_MEDIA_TYPE: &str = "application/eat+cwt";
/// An SGX quote with its binding.
pub const SGX_QUOTE: &str = "application/vnd.tamarack.sgx-quote+cbor";
/// A TDX quote with its binding.
pub const TDX_QUOTE: &str = "application/vnd.tamarack.tdx-quote+cbor";
/// An SEV-SNP attestation report with its binding.
pub const SEV_SNP_REPORT: &str = "application/vnd.tamarack.sev-snp-report+cbor";
/// A CCA attestation token with its binding.
pub const CCA_TOKEN: &str = "application/vnd.tamarack.cca-token+cbor";
/// A PSA token with its binding.
pub const PSA_TOKEN: &str = "application/vnd.tamarack.psa-token+cbor";
/// Certificates that the hardware gave beside its quote, in the format of its family.
pub const HARDWARE_ENDORSEMENTS: &str = "application/vnd.tamarack.hardware-endorsements";
/// Endorsements of the hardware maker, as the Verifier used them.
pub const COLLATERAL: &str = "application/vnd.tamarack.collateral+cbor";
/// The profile of the agent-layer EAT.
pub const AGENT_PROFILE: &str = "tag:tamarack,2026:agent#1";

const EAT: &str = "eat";
const ENDORSEMENTS: &str = "hw-endorsements";
const HARDWARE: &str = "hw";
const RUNTIME_LOG_LABEL: &str = "hw-runtime-log";

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            eat: vec![1, 2, 3],
            hardware: Some(Hardware {
                media_type: SGX_QUOTE.to_owned(),
                bound: BoundQuote { quote: vec![4], binding: vec![5] },
                endorsements: Some(vec![6]),
                runtime_log: Some(vec![7]),
            }),
        }
    }

    #[test]
    fn evidence_survives_the_round_trip_with_and_without_a_quote() {
        let renewal = Evidence { hardware: None, ..evidence() };
        let mut alone = evidence();
        let hardware = alone.hardware.as_mut().unwrap();
        (hardware.endorsements, hardware.runtime_log) = (None, None);

        assert_eq!(Evidence::decode(&evidence().encode()), Ok(evidence()));
        assert_eq!(Evidence::decode(&alone.encode()), Ok(alone));
        assert_eq!(Evidence::decode(&renewal.encode()), Ok(renewal));
    }

    #[test]
    fn what_stands_for_the_hardwares_endorsements_and_is_none_is_refused() {
        let with = |media_type, indicator| {
            let mut collection = Collection::new(EAT, record(EAT_MEDIA_TYPE, vec![1]));
            let bound = BoundQuote { quote: vec![4], binding: vec![5] };
            collection.insert(HARDWARE, record(SGX_QUOTE, bound.encode())).unwrap();
            let record = Cmw::Record(Record::new(media_type, [6], indicator));
            collection.insert(ENDORSEMENTS, record).unwrap();
            Evidence::decode(&Cmw::Collection(collection).encode())
        };

        assert!(with(HARDWARE_ENDORSEMENTS, Indicator::ENDORSEMENTS).is_ok());
        assert_eq!(
            with(HARDWARE_ENDORSEMENTS, Indicator::EVIDENCE),
            Err(Malformed::Value(ENDORSEMENTS.into()))
        );
        assert_eq!(with("application/cbor", Indicator::ENDORSEMENTS), Err(Malformed::ContentType));
    }

    #[test]
    fn what_stands_for_a_log_and_is_none_is_refused() {
        let with = |media_type| {
            let mut collection = Collection::new(EAT, record(EAT_MEDIA_TYPE, vec![1]));
            let bound = BoundQuote { quote: vec![4], binding: vec![5] };
            collection.insert(HARDWARE, record(SGX_QUOTE, bound.encode())).unwrap();
            collection.insert(RUNTIME_LOG_LABEL, record(media_type, vec![6])).unwrap();
            Evidence::decode(&Cmw::Collection(collection).encode())
        };

        let log = with(RUNTIME_LOG).unwrap().hardware.unwrap().runtime_log;
        assert_eq!(log, Some(vec![6]));
        assert_eq!(with("application/cbor"), Err(Malformed::ContentType));
    }

    #[test]
    fn a_collection_without_an_eat_or_with_another_kind_of_message_is_refused() {
        let wrap = |label: &str, record| Cmw::Collection(Collection::new(label, record)).encode();
        let result = Record::new(EAT_MEDIA_TYPE, [1], Indicator::ATTESTATION_RESULTS);
        let other_type = Record::new("application/cbor", [1], Indicator::EVIDENCE);

        assert_eq!(
            Evidence::decode(&wrap(HARDWARE, record(SGX_QUOTE, vec![]))),
            Err(Malformed::Missing(EAT.into()))
        );
        assert_eq!(
            Evidence::decode(&wrap(EAT, Cmw::Record(result))),
            Err(Malformed::Value(EAT.into()))
        );
        assert_eq!(
            Evidence::decode(&wrap(EAT, Cmw::Record(other_type))),
            Err(Malformed::ContentType)
        );
        assert_eq!(
            Evidence::decode(&record(EAT_MEDIA_TYPE, vec![]).encode()),
            Err(Malformed::Expected("a CMW collection"))
        );
    }
}
