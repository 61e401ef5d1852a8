//! SUIT_Envelope (suit-manifest section 8.2).

use std::collections::BTreeMap;

use cose::Accept;

use crate::authentication::{TrustAnchors, Wrapper};
use crate::cbor::{Kind, Reader, Writer};
use crate::error::{Error, Malformed, Unsupported, Untrusted};
use crate::manifest::Manifest;
use crate::section::Section;
use crate::verified::Verified;

/// An envelope: an authentication wrapper, a manifest that nobody has looked into, and what
/// travels with them.
///
/// ```cddl
/// SUIT_Envelope_Tagged = #6.107(SUIT_Envelope)
/// SUIT_Envelope = {
///   suit-authentication-wrapper => bstr .cbor SUIT_Authentication,
///   suit-manifest => bstr .cbor SUIT_Manifest,
///   SUIT_Severable_Manifest_Members,
///   * SUIT_Integrated_Payload, * $$SUIT_Envelope_Extensions
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'b> {
    bytes: &'b [u8],
    tagged: bool,
    authentication: &'b [u8],
    manifest: &'b [u8],
    members: BTreeMap<i64, &'b [u8]>,
    payloads: BTreeMap<&'b str, &'b [u8]>,
}

impl<'b> Envelope<'b> {
    //= suit 13.1 (M): Tagged 107 and untagged envelopes accepted; other tags refused. M 8.2
    //= suit 13.17 (M): tag 1070 bare manifest not accepted as an update. M 8.2
    /// Decodes the outer map. Nothing is trusted and no member is opened.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, Error> {
        let mut reader = Reader::open(bytes)?;
        let tagged = reader.kind()? == Kind::Tag;
        if tagged {
            match reader.tag()? {
                TAG => {}
                other => return Err(Malformed::Tag(other).into()),
            }
        }
        let mut members = BTreeMap::new();
        let mut payloads = BTreeMap::new();
        for _ in 0..reader.map()? {
            if reader.kind()? == Kind::Text {
                payloads.insert(reader.text()?, reader.bytes()?);
            } else {
                members.insert(reader.int()?, reader.bytes()?);
            }
        }
        //= suit 13.2 (M): Missing key 2 or 3 refused. M 8.2
        let authentication =
            members.remove(&AUTHENTICATION).ok_or(Malformed::Absent("authentication-wrapper"))?;
        let manifest = members.remove(&MANIFEST).ok_or(Malformed::Absent("manifest"))?;
        match members.keys().find(|key| !is_severable(**key)) {
            Some(key) => Err(Unsupported::EnvelopeMember(*key).into()),
            None => Ok(Self { bytes, tagged, authentication, manifest, members, payloads }),
        }
    }

    //= suit 13.4 (M): Digest mismatch refused, no command run. M 8.3
    //= suit 13.5 (M): Signature checked before manifest members are parsed (spy parser sees
    //= nothing). M 6.2
    /// Checks who answers for the manifest, then that it is the manifest they mean, and only
    /// then opens it.
    ///
    /// `accept` are the signature algorithms that the caller takes.
    pub fn authenticate(
        self,
        anchors: &dyn TrustAnchors,
        accept: &Accept,
    ) -> Result<Verified<'b>, Error> {
        let wrapper = Wrapper::decode(self.authentication)?;
        let (signer, rejected) = wrapper.verify(anchors, accept)?;
        let digest = wrapper.digest();
        if crate::Digest::of_member(digest.algorithm(), self.manifest)? != digest {
            return Err(Untrusted::ManifestDigest.into());
        }
        let manifest = Manifest::decode(self.manifest, self.members.clone())?;
        Ok(Verified::new(self, manifest, digest, signer, rejected))
    }

    /// The content of the authentication-wrapper, for showing: SUIT_Authentication as received.
    pub fn authentication(&self) -> &'b [u8] {
        self.authentication
    }

    /// The manifest without any authentication, for showing and never for deciding.
    pub fn unverified_manifest(&self) -> Result<Manifest<'b>, Error> {
        Manifest::decode(self.manifest, self.members.clone())
    }

    /// The envelope as received.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The digest that the envelope claims for its manifest; only a name until authenticated.
    pub fn claimed_digest(&self) -> Result<crate::Digest, Error> {
        Ok(Wrapper::decode(self.authentication)?.digest())
    }

    /// The members that travel beside the manifest by text keys: integrated payloads and
    /// integrated dependencies.
    pub fn payloads(&self) -> &BTreeMap<&'b str, &'b [u8]> {
        &self.payloads
    }

    /// The manifest as received, neither authenticated nor opened.
    pub fn manifest_bytes(&self) -> &'b [u8] {
        self.manifest
    }

    /// Encodes the envelope, deterministically.
    pub fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| {
            if self.tagged {
                w.tag(TAG);
            }
            w.map(2 + self.members.len() + self.payloads.len());
            w.int(AUTHENTICATION).bytes(self.authentication);
            w.int(MANIFEST).bytes(self.manifest);
            for (key, member) in &self.members {
                w.int(*key).bytes(member);
            }
            let mut payloads: Vec<_> = self.payloads.iter().collect();
            payloads.sort_by_key(|(name, _)| (name.len(), **name));
            for (name, payload) in payloads {
                w.text(name).bytes(payload);
            }
        })
    }

    //= suit 13.15 (S): Removing text (23) or other severed parts keeps the signature valid. M 8.6
    /// The same envelope without a severable member: what a distributor sends to a small device.
    pub fn sever(mut self, key: i64) -> Self {
        self.members.remove(&key);
        self
    }

    #[cfg(test)]
    pub(crate) fn with_manifest(mut self, manifest: &'b [u8]) -> Self {
        self.manifest = manifest;
        self
    }

    /// The same envelope without an integrated payload.
    pub fn without_payload(mut self, name: &str) -> Self {
        self.payloads.remove(name);
        self
    }
}

fn is_severable(key: i64) -> bool {
    match Section::from_key(key) {
        Some(section) => section.is_severable(),
        None => key == COSWID || key == TEXT,
    }
}

/// The CBOR tag of an envelope.
pub(crate) const TAG: u64 = 107;
pub(crate) const AUTHENTICATION: i64 = 2;
pub(crate) const MANIFEST: i64 = 3;
const COSWID: i64 = 14;
const TEXT: i64 = 23;

#[cfg(test)]
mod tests;
