//! What an Agent remembers between sessions.

use std::collections::{BTreeMap, BTreeSet};

use cose::Thumbprint;
use minicbor::decode::Decoder;
use rats::Timestamp;
use suit::ComponentId;

use super::TamUri;
use crate::cipher_suite::Suite;
use crate::component::{Present, RequestedTc, read_id, write_id};
use crate::limits;
use crate::malformed::Malformed;
use crate::token::Token;
use crate::wire::{self, Writer, Written};

/// What an Agent remembers, as a value to seal and store.
///
/// ```cddl
/// memory = [
///   version: 1,
///   clock: int,
///   requested: [ * [ component-id, tam: tstr, ? sequence-number: uint, ? binary: bool ] ],
///   unneeded: [ * [ manifest-component-id, tam: tstr ] ],
///   tams: [ * [ tam: tstr, key: bstr .size 32, suite: int, bare: bool, failed: bool,
///               valid-until: int / null ] ],
///   spent: [ * [ tam-key: bstr .size 32, [ * digest: bstr .size 16 ] ] ]
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// The latest time seen: time does not run backwards.
    pub(super) clock: Timestamp,
    /// What the REE asks for.
    pub(super) requested: BTreeMap<ComponentId, Wish>,
    /// What the REE needs no longer, by manifest component identifier.
    pub(super) unneeded: BTreeMap<ComponentId, TamUri>,
    /// What is known about TAMs.
    pub(super) tams: BTreeMap<TamUri, TamFacts>,
    /// Digests of the tokens of Updates that were seen, the oldest first, by TAM key.
    pub(super) spent: BTreeMap<Thumbprint, Vec<[u8; SPENT_BYTES]>>,
}

/// A component that the REE asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) tam: TamUri,
    pub(super) present: Present,
}

/// What is known about a TAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TamFacts {
    /// The key of its last QueryRequest.
    pub(super) key: Thumbprint,
    /// The suite chosen then.
    pub(super) suite: Suite,
    /// Whether that QueryRequest had neither token nor challenge.
    pub(super) bare: bool,
    /// Whether reaching the TAM has failed since.
    pub(super) failed: bool,
    /// Until when the key is good.
    pub(super) valid_until: Option<Timestamp>,
}

impl Memory {
    pub(super) const fn new() -> Self {
        Self {
            clock: Timestamp(0),
            requested: BTreeMap::new(),
            unneeded: BTreeMap::new(),
            tams: BTreeMap::new(),
            spent: BTreeMap::new(),
        }
    }

    /// What to ask a TAM for.
    pub(super) fn requested_of(&self, tam: &TamUri) -> Vec<RequestedTc> {
        self.requested
            .iter()
            .filter(|(_, wish)| wish.tam == *tam)
            .map(|(component, wish)| RequestedTc {
                component: component.clone(),
                present: wish.present,
            })
            .take(limits::REQUESTS)
            .collect()
    }

    /// What to tell a TAM is needed no longer.
    pub(super) fn unneeded_of(&self, tam: &TamUri) -> Vec<ComponentId> {
        self.unneeded
            .iter()
            .filter(|(_, of)| *of == tam)
            .map(|(manifest, _)| manifest.clone())
            .take(limits::REQUESTS)
            .collect()
    }

    /// Whether an Update with this token was seen before.
    pub(super) fn is_spent(&self, tam: Thumbprint, token: &Token) -> bool {
        self.spent.get(&tam).is_some_and(|spent| spent.contains(&digest(token)))
    }

    /// Remembers that an Update with this token was seen.
    pub(super) fn spend(&mut self, tam: Thumbprint, token: &Token) {
        if self.spent.len() >= limits::TAMS
            && !self.spent.contains_key(&tam)
            && let Some(surplus) = self.spent.keys().next().copied()
        {
            self.spent.remove(&surplus);
        }
        let spent = self.spent.entry(tam).or_default();
        if spent.len() >= limits::SPENT_TOKENS {
            spent.remove(0);
        }
        spent.push(digest(token));
    }

    /// Keeps what was learnt about a TAM, and no more than [`limits::TAMS`] of them.
    pub(super) fn learn(&mut self, tam: &TamUri, facts: TamFacts, keep: &BTreeSet<TamUri>) {
        if self.tams.len() >= limits::TAMS && !self.tams.contains_key(tam) {
            let surplus = self.tams.keys().find(|other| !keep.contains(*other)).cloned();
            let surplus = surplus.or_else(|| self.tams.keys().next().cloned());
            surplus.map(|surplus| self.tams.remove(&surplus));
        }
        self.tams.insert(tam.clone(), facts);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        wire::encode(|e| self.write(e))
    }

    fn write(&self, e: &mut Writer) -> Written {
        e.array(6)?.u64(VERSION)?.i64(self.clock.0)?;
        e.array(self.requested.len() as u64)?;
        for (component, wish) in &self.requested {
            let (more, number, binary) = match wish.present {
                Present::Nothing => (0, 0, false),
                Present::Manifest { sequence_number } => (2, sequence_number, false),
                Present::Binary { sequence_number } => (2, sequence_number, true),
            };
            e.array(2 + more)?;
            write_id(e, component)?;
            e.str(wish.tam.as_str())?;
            if more > 0 {
                e.u64(number)?.bool(binary)?;
            }
        }
        e.array(self.unneeded.len() as u64)?;
        for (manifest, tam) in &self.unneeded {
            e.array(2)?;
            write_id(e, manifest)?;
            e.str(tam.as_str())?;
        }
        e.array(self.tams.len() as u64)?;
        for (tam, facts) in &self.tams {
            e.array(6)?.str(tam.as_str())?.bytes(&facts.key.0)?.i64(facts.suite.id())?;
            e.bool(facts.bare)?.bool(facts.failed)?;
            match facts.valid_until {
                Some(until) => e.i64(until.0)?,
                None => e.null()?,
            };
        }
        e.array(self.spent.len() as u64)?;
        for (tam, digests) in &self.spent {
            e.array(2)?.bytes(&tam.0)?.array(digests.len() as u64)?;
            for digest in digests {
                e.bytes(digest)?;
            }
        }
        Ok(())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        wire::whole(bytes, limits::ATTACHMENT, Self::read)
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        if d.array()? != Some(6) || d.u64()? != VERSION {
            return Err(Malformed::StoredVersion);
        }
        Ok(Self {
            clock: Timestamp(d.i64()?),
            requested: wire::array(d, "requested", limits::REMEMBERED, read_wish)?
                .into_iter()
                .collect(),
            unneeded: wire::array(d, "unneeded", limits::REMEMBERED, |d| {
                tuple(d, 2)?;
                Ok((read_id(d)?, TamUri::new(d.str()?)?))
            })?
            .into_iter()
            .collect(),
            tams: wire::array(d, "tams", limits::TAMS, read_facts)?.into_iter().collect(),
            spent: wire::array(d, "spent", limits::TAMS, |d| {
                tuple(d, 2)?;
                let key = Thumbprint(fixed(d)?);
                Ok((key, wire::array(d, "spent tokens", limits::SPENT_TOKENS, fixed)?))
            })?
            .into_iter()
            .collect(),
        })
    }
}

fn read_wish(d: &mut Decoder<'_>) -> Result<(ComponentId, Wish), Malformed> {
    let elements = d.array()?;
    let component = read_id(d)?;
    let tam = TamUri::new(d.str()?)?;
    let present = match elements {
        Some(2) => Present::Nothing,
        Some(4) => {
            let sequence_number = d.u64()?;
            if d.bool()? {
                Present::Binary { sequence_number }
            } else {
                Present::Manifest { sequence_number }
            }
        }
        Some(_) | None => return Err(Malformed::StoredVersion),
    };
    Ok((component, Wish { tam, present }))
}

fn read_facts(d: &mut Decoder<'_>) -> Result<(TamUri, TamFacts), Malformed> {
    tuple(d, 6)?;
    let tam = TamUri::new(d.str()?)?;
    let key = Thumbprint(fixed(d)?);
    let suite = Suite::from_id(d.i64()?).ok_or(Malformed::StoredVersion)?;
    let (bare, failed) = (d.bool()?, d.bool()?);
    let valid_until = if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        None
    } else {
        Some(Timestamp(d.i64()?))
    };
    Ok((tam, TamFacts { key, suite, bare, failed, valid_until }))
}

fn tuple(d: &mut Decoder<'_>, elements: u64) -> Result<(), Malformed> {
    if d.array()? == Some(elements) { Ok(()) } else { Err(Malformed::StoredVersion) }
}

fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Malformed> {
    d.bytes()?.try_into().map_err(|_| Malformed::StoredVersion)
}

fn digest(token: &Token) -> [u8; SPENT_BYTES] {
    let digest = cose::sha256(token.as_bytes());
    digest[..SPENT_BYTES].try_into().expect("a SHA-256 digest has 32 bytes")
}

const VERSION: u64 = 1;
const SPENT_BYTES: usize = 16;
