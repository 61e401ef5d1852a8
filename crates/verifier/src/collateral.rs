//! Endorsements as received: named files in one self-describing bundle.
//!
//! The bundle says nothing about whether its contents are true; each kind of evidence verifies
//! what it needs. Names are those of the files that vendors' services are saved under.

use std::collections::BTreeMap;

use cose::Malformed;
use cose::cbor::{Decoder, Limits, MapReader, MapWriter, check_deterministic, encode, whole};
use serde::Deserialize;

use crate::crypto::sha256;
use crate::value::rfc3339;
use crate::x509::{Certificate, RevocationList, decode_list_file, decode_pem};
use crate::{Kind, Platform, Timestamp};

/// Named endorsement files of one platform.
///
/// Encoded as `application/vnd.tamarack.collateral+cbor`:
///
/// ```cddl
/// collateral = { 0 => "tamarack-collateral-1", 1 => { * tstr => bstr } }
/// ```
///
/// deterministic (RFC 8949 section 4.2.1), at most 4096 files and 1 MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collateral {
    files: BTreeMap<String, Vec<u8>>,
}

impl Collateral {
    /// Builds a bundle from named files, for example the contents of one folder.
    ///
    /// Names are kept as given: base names, or names with folders as
    /// [`for_evidence`](Self::for_evidence) reads them.
    pub fn from_files<N: Into<String>, B: Into<Vec<u8>>>(
        files: impl IntoIterator<Item = (N, B)>,
    ) -> Self {
        let files = files.into_iter().map(|(name, bytes)| (name.into(), bytes.into())).collect();
        Self { files }
    }

    /// The file of that name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// The files that count for this evidence, each under its plain name.
    ///
    /// A store of many platforms keeps files in folders: `tcb_info.json` counts for every kind of
    /// evidence, `tdx/tcb_info.json` before it for TDX, and
    /// `tdx/00906ed50000-processor/tcb_info.json` before both for that [`Platform`].
    #[must_use]
    pub fn for_evidence(&self, kind: Kind, evidence: &[u8]) -> Self {
        if !self.has_folders() {
            return self.clone();
        }
        self.for_platform(kind, Platform::of(kind, evidence).as_ref())
    }

    /// As [`for_evidence`](Self::for_evidence), for a platform that is known already.
    #[must_use]
    pub fn for_platform(&self, kind: Kind, platform: Option<&Platform>) -> Self {
        if self.has_folders() { self.select(kind, platform) } else { self.clone() }
    }

    /// Whether there are files in folders.
    pub(crate) fn has_folders(&self) -> bool {
        self.files.keys().any(|name| name.contains('/'))
    }

    /// The files that count for one kind of evidence, and for one platform.
    fn select(&self, kind: Kind, platform: Option<&Platform>) -> Self {
        let of_kind = format!("{kind}/");
        let of_platform = platform.map(|platform| format!("{kind}/{platform}/"));
        let folders = [Some(String::new()), Some(of_kind), of_platform].into_iter().flatten();
        let files = folders.flat_map(|folder| {
            self.files.iter().filter_map(move |(name, bytes)| {
                let plain = name.strip_prefix(&folder).filter(|plain| !plain.contains('/'))?;
                Some((plain.to_owned(), bytes.clone()))
            })
        });
        Self { files: files.collect() }
    }

    /// Whether every file is newer than, or the same as, the file of its name in `other`.
    ///
    /// Collateral whose old copies still verify must not come back: the dates are compared, so
    /// call this for files whose signatures hold.
    #[must_use]
    pub fn is_no_older_than(&self, other: &Self) -> bool {
        self.files.iter().all(|(name, bytes)| {
            let before = other.file(name).and_then(Dated::of);
            let now = Dated::of(bytes);
            before.is_none_or(|before| now.is_some_and(|now| now.from >= before.from))
        })
    }

    /// Every file by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// The files as one kind of evidence sees them: those whose name begins with `prefix` stand
    /// in for those of the same name without it.
    ///
    /// SGX and TDX name their files alike, so that a folder that serves both has TDX's under
    /// `tdx-`.
    #[must_use]
    pub fn preferring(&self, prefix: &str) -> Self {
        let mut seen = self.clone();
        for (name, bytes) in &self.files {
            if let Some(name) = name.strip_prefix(prefix) {
                seen.insert(name, bytes.clone());
            }
        }
        seen
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(name.into(), bytes.into());
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Encodes deterministically.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut files = MapWriter::new();
        for (name, bytes) in &self.files {
            files.put_text(name, encode(|e| e.bytes(bytes)?.ok()));
        }
        let mut bundle = MapWriter::new();
        bundle.put(LABEL_FORMAT, |e| e.str(FORMAT)?.ok());
        bundle.put_encoded(LABEL_FILES, files.finish());
        bundle.finish()
    }

    /// Reads a bundle; only the deterministic encoding is accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_deterministic(bytes, Limits::DEFAULT)?;
        let (mut named, mut files) = (false, None);
        whole(bytes, |d| {
            let mut members = MapReader::new(d)?;
            while let Some(label) = members.key()? {
                match label {
                    LABEL_FORMAT if members.value().str()? == FORMAT => named = true,
                    LABEL_FILES => files = Some(decode_files(members.value())?),
                    _ => return Err(Malformed::Expected(BUNDLE)),
                }
            }
            Ok(())
        })?;
        match files {
            Some(files) if named => Ok(Self { files }),
            _ => Err(Malformed::Expected(BUNDLE)),
        }
    }

    /// SHA-256 of the encoding: the name of exactly these bytes, for caches and results.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.encode())
    }
}

/// What kind of endorsement a file is, and when its maker says that it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// What it is.
    pub class: Class,
    /// The first second.
    pub from: Timestamp,
    /// The last second; of a chain of certificates, that of the first one to end.
    pub until: Timestamp,
}

/// Endorsements by how they are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Certificates: for years.
    Certificate,
    /// Revocation lists: whenever something is revoked.
    Revocation,
    /// TCB info and identities of enclaves: monthly.
    Statement,
}

impl Dated {
    /// Reads the dates of one file by its contents; other files have none.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.first() == Some(&b'{') {
            let statement: Statement = serde_json::from_slice(bytes).ok()?;
            let Statement { issued, next_update } = statement;
            return Some(Self { class: Class::Statement, from: issued, until: next_update });
        }
        if let Ok(list) = RevocationList::decode(&decode_list_file(bytes)) {
            let (from, until) = (list.this_update, list.next_update);
            return Some(Self { class: Class::Revocation, from, until });
        }
        let ders = decode_pem(bytes).unwrap_or_else(|_| vec![bytes.to_vec()]);
        let windows = ders.iter().map(|der| {
            Certificate::decode(der)
                .map(|certificate| (certificate.not_before, certificate.not_after))
        });
        let windows = windows.collect::<Result<Vec<_>, _>>().ok()?;
        let from = windows.iter().map(|(from, _)| *from).max()?;
        let until = windows.iter().map(|(_, until)| *until).min()?;
        Some(Self { class: Class::Certificate, from, until })
    }
}

/// The dates of a statement that Intel signed.
#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "issueDate", deserialize_with = "rfc3339")]
    issued: Timestamp,
    #[serde(rename = "nextUpdate", deserialize_with = "rfc3339")]
    next_update: Timestamp,
}

fn decode_files(d: &mut Decoder<'_>) -> Result<BTreeMap<String, Vec<u8>>, Malformed> {
    let count = d.map()?.ok_or(Malformed::Indefinite)?;
    if count > MAX_FILES {
        return Err(Malformed::TooMany);
    }
    let mut files = BTreeMap::new();
    for _ in 0..count {
        let name = d.str()?.to_owned();
        files.insert(name, d.bytes()?.to_vec());
    }
    Ok(files)
}

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = rats::evidence::COLLATERAL;

const BUNDLE: &str = "a tamarack-collateral-1 bundle";
const FORMAT: &str = "tamarack-collateral-1";
const LABEL_FORMAT: i64 = 0;
const LABEL_FILES: i64 = 1;
/// One for each enrolled device of a fleet: more keys than that do not fit into 1 MiB.
const MAX_FILES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Collateral {
        Collateral::from_files([("tcb_info.json", b"{}".to_vec()), ("a", vec![]), ("zz", vec![7])])
    }

    #[test]
    fn a_bundle_survives_the_round_trip() {
        for bundle in [bundle(), Collateral::default()] {
            assert_eq!(Collateral::decode(&bundle.encode()), Ok(bundle));
        }
    }

    #[test]
    fn a_bundle_holds_the_keys_of_a_fleet_and_no_more() {
        let fleet = |devices| {
            Collateral::from_files((0..devices).map(|it| (format!("unit-{it}.pem"), vec![0; 200])))
        };

        assert_eq!(Collateral::decode(&fleet(MAX_FILES).encode()), Ok(fleet(MAX_FILES)));
        let more = fleet(MAX_FILES + 1).encode();
        assert_eq!(Collateral::decode(&more), Err(Malformed::TooMany));
    }

    #[test]
    fn files_with_the_prefix_stand_in_for_those_without() {
        let mut both = bundle();
        both.insert("tdx-a", [1]);
        both.insert("tdx-b", [2]);

        let seen = both.preferring("tdx-");

        let files = ["a", "b", "zz"].map(|name| seen.file(name).map(<[u8]>::to_vec));
        assert_eq!(files, [Some(vec![1]), Some(vec![2]), Some(vec![7])]);
        assert_eq!(bundle().preferring("tdx-"), bundle());
    }

    #[test]
    fn files_in_folders_count_for_their_kind_and_platform_alone() {
        let platform = Platform::Intel {
            tee: crate::platform::Tee::Tdx,
            fmspc: [0, 0x90, 0x6e, 0xd5, 0, 0],
            authority: crate::platform::PckAuthority::Processor,
        };
        let bundle = Collateral::from_files([
            ("root", vec![0]),
            ("tcb", vec![1]),
            ("tdx/tcb", vec![2]),
            ("tdx/00906ed50000-processor/tcb", vec![3]),
            ("tdx/00906ed50000-processor/qe", vec![4]),
        ]);
        let files = |kind, platform: Option<&Platform>| -> Vec<(String, Vec<u8>)> {
            let selected = bundle.select(kind, platform);
            selected.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
        };
        let file = |name: &str, octet| (name.to_owned(), vec![octet]);

        assert_eq!(files(Kind::Sgx, None), [file("root", 0), file("tcb", 1)]);
        assert_eq!(files(Kind::Tdx, None), [file("root", 0), file("tcb", 2)]);
        let own = [file("qe", 4), file("root", 0), file("tcb", 3)];
        assert_eq!(files(Kind::Tdx, Some(&platform)), own);
    }

    #[test]
    fn the_digest_names_exactly_these_bytes() {
        let mut other = bundle();
        other.insert("zz", [8]);

        assert_ne!(bundle().digest(), other.digest());
        assert_eq!(bundle().digest(), bundle().digest());
    }

    #[test]
    fn another_format_or_encoding_is_refused() {
        let encoded = bundle().encode();
        for length in 0..encoded.len() {
            assert!(Collateral::decode(&encoded[..length]).is_err());
        }
        assert!(Collateral::decode(&[&encoded[..], &[0]].concat()).is_err());
        assert!(Collateral::decode(&[0xa0]).is_err());
        assert!(Collateral::decode(&[0xa1, 0x01, 0xa0]).is_err());
        let other = encoded.iter().map(|&octet| if octet == b'1' { b'2' } else { octet });
        assert!(Collateral::decode(&other.collect::<Vec<_>>()).is_err());
    }
}
