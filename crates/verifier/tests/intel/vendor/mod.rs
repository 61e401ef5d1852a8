//! A vendor like Intel with a root of its own: certificates, collateral and quotes in every shape.

pub(crate) mod der;

use aws_lc_rs::digest;
use der::{Key, boolean, extension, integer, name, octets, oid, pem, sequence, time, tlv};
use serde_json::{Value as Json, json};
use verifier::anchor::{Anchors, Listed, Vendor as Family};
use verifier::crypto::sha256;
use verifier::value::Hex;
use verifier::{Collateral, Timestamp};

/// All keys and certificates of the vendor and one device.
pub(crate) struct Vendor {
    pub(crate) root_key: Key,
    authority_key: Key,
    signer_key: Key,
    pck_key: Key,
    attestation_key: Key,
    root: Vec<u8>,
    authority: Vec<u8>,
    signer: Vec<u8>,
    pub(crate) pck: Vec<u8>,
}

/// What the vendor says about its devices.
pub(crate) struct World {
    pub(crate) revoked_pcks: Vec<u64>,
    pub(crate) revoked_authorities: Vec<u64>,
    pub(crate) tcb_info: Json,
    pub(crate) qe_identity: Json,
}

/// How a quote differs from an ordinary one.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) version: u16,
    pub(crate) qe_svn: u16,
    pub(crate) qe_attributes: u8,
    pub(crate) qe_zeros: [u8; 32],
    pub(crate) qe_vendor: u8,
    pub(crate) certification: u16,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            version: 3,
            qe_svn: 8,
            qe_attributes: 0x11,
            qe_zeros: [0; 32],
            qe_vendor: 0x93,
            certification: 5,
        }
    }
}

impl Vendor {
    pub(crate) fn new() -> Self {
        let keys: [Key; 5] = std::array::from_fn(|_| Key::generate());
        let [root_key, authority_key, signer_key, pck_key, attestation_key] = keys;
        let issue =
            |issuer: &Key, from: &str, serial, subject: &str, key: &Key, ca, extra: &[u8]| {
                let tbs = certificate(serial, from, subject, key, ca, extra);
                issuer.issue(&tbs)
            };
        let root = issue(&root_key, ROOT, 1, ROOT, &root_key, true, &[]);
        let authority = issue(&root_key, ROOT, 2, AUTHORITY, &authority_key, true, &[]);
        let signer = issue(&root_key, ROOT, 3, "Intel SGX TCB Signing", &signer_key, false, &[]);
        let leaf = "Intel SGX PCK Certificate";
        let pck = issue(&authority_key, AUTHORITY, 4, leaf, &pck_key, false, &sgx_extension());
        Self {
            root_key,
            authority_key,
            signer_key,
            pck_key,
            attestation_key,
            root,
            authority,
            signer,
            pck,
        }
    }

    /// The vendor's root as an emulator's.
    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::vendors().with_emulator(Listed {
            vendor: Family::Intel,
            name: "test vendor".into(),
            spki_sha256: Hex(sha256(&self.root_key.spki())),
        })
    }

    pub(crate) fn collateral(&self, world: &World) -> Collateral {
        let tcb_info = world.tcb_info.to_string();
        let qe_identity = world.qe_identity.to_string();
        let sign = |json: &str| hex::encode(self.signer_key.sign(json.as_bytes())).into_bytes();
        Collateral::from_files([
            ("tcb_info.sig.hex", sign(&tcb_info)),
            ("tcb_info.json", tcb_info.into_bytes()),
            ("qe_identity.sig.hex", sign(&qe_identity)),
            ("qe_identity.json", qe_identity.into_bytes()),
            ("tcb_signing_chain.pem", pem(&[&self.signer, &self.root])),
            ("pck_crl_issuer_chain.pem", pem(&[&self.authority, &self.root])),
            ("pck_crl.der", list(&self.authority_key, AUTHORITY, &world.revoked_pcks)),
            ("root_ca_crl.der", list(&self.root_key, ROOT, &world.revoked_authorities)),
        ])
    }

    pub(crate) fn chain(&self) -> Vec<u8> {
        pem(&[&self.pck, &self.authority, &self.root])
    }

    /// Quotes an enclave (384 octets) or a domain (584 or 648).
    pub(crate) fn quote(&self, body: &[u8], shape: &Shape) -> Vec<u8> {
        let mut vendor = hex::decode("939a7233f79c4ca9940a0db3957f0607").expect("hexadecimal");
        vendor[0] = shape.qe_vendor;
        let tee: u32 = if body.len() == 384 { 0 } else { 0x81 };
        let mut quote = [&shape.version.to_le_bytes()[..], &[2, 0], &tee.to_le_bytes()].concat();
        quote.extend([0; 4]);
        quote.extend(vendor);
        quote.extend([7; 20]);
        if shape.version == 5 {
            let kind: u16 = match body.len() {
                384 => 1,
                584 => 2,
                _ => 3,
            };
            quote.extend(kind.to_le_bytes());
            quote.extend((body.len() as u32).to_le_bytes());
        }
        quote.extend(body);
        let signature = self.attestation_key.sign(&quote);

        let authentication_data = [9; 32];
        let mut qe = quoting_enclave(shape);
        let bound = [&self.attestation_key.raw()[..], &authentication_data].concat();
        qe[320..352].copy_from_slice(&sha256(&bound));
        qe[352..].copy_from_slice(&shape.qe_zeros);
        let mut certified = [&qe[..], &self.pck_key.sign(&qe)].concat();
        certified.extend(32_u16.to_le_bytes());
        certified.extend(authentication_data);
        let data = if shape.certification == 5 { self.chain() } else { vec![1; 404] };
        certified.extend(shape.certification.to_le_bytes());
        certified.extend((data.len() as u32).to_le_bytes());
        certified.extend(data);

        let mut signed = [&signature[..], &self.attestation_key.raw()].concat();
        if shape.version > 3 {
            signed.extend(6_u16.to_le_bytes());
            signed.extend((certified.len() as u32).to_le_bytes());
        }
        signed.extend(certified);
        quote.extend((signed.len() as u32).to_le_bytes());
        quote.extend(signed);
        quote
    }
}

impl World {
    /// One level that every device reaches, and an older one.
    pub(crate) fn sgx() -> Self {
        Self::new("SGX", json!({}), "QE", 0)
    }

    /// The same for domains, with one generation of modules beside the first.
    pub(crate) fn tdx() -> Self {
        let module = json!({
            "mrsigner": "00".repeat(48), "attributes": "00".repeat(8),
            "attributesMask": "FF".repeat(8),
        });
        let mut later = module.clone();
        later["id"] = json!("TDX_01");
        later["tcbLevels"] = json!([
            { "tcb": { "isvsvn": 2 }, "tcbDate": DATE, "tcbStatus": "OutOfDate",
              "advisoryIDs": ["INTEL-SA-MODULE"] },
            { "tcb": { "isvsvn": 5 }, "tcbDate": DATE, "tcbStatus": "UpToDate" },
        ]);
        let extra = json!({ "tdxModule": module, "tdxModuleIdentities": [later] });
        Self::new("TDX", extra, "TD_QE", 3)
    }

    fn new(id: &str, extra: Json, qe: &str, module_svn: u8) -> Self {
        let components = |svn: u8| -> Vec<Json> {
            (0..16).map(|at| json!({ "svn": if at < 2 { svn } else { 0 } })).collect()
        };
        let level = |svn: u8, status: &str, advisories: Json| {
            let mut tcb = json!({ "sgxtcbcomponents": components(svn), "pcesvn": 13 });
            if id == "TDX" {
                let mut list = components(0);
                list[0] = json!({ "svn": module_svn });
                list[2] = json!({ "svn": svn, "category": "OS/VMM", "type": "TDX Late Microcode" });
                tcb["tdxtcbcomponents"] = json!(list);
            }
            json!({ "tcb": tcb, "tcbDate": DATE, "tcbStatus": status, "advisoryIDs": advisories })
        };
        let mut tcb_info = json!({
            "id": id, "version": 3, "issueDate": FROM, "nextUpdate": UNTIL,
            "fmspc": "00606A000000", "pceId": "0000", "tcbType": 0,
            "tcbEvaluationDataNumber": 20,
        });
        for (name, value) in extra.as_object().expect("an object") {
            tcb_info[name] = value.clone();
        }
        // Not in order: sorting is the Verifier's.
        tcb_info["tcbLevels"] = json!([
            level(3, "OutOfDate", json!(["INTEL-SA-OLD"])),
            level(5, "UpToDate", json!([])),
        ]);
        let qe_identity = json!({
            "id": qe, "version": 2, "issueDate": FROM, "nextUpdate": UNTIL,
            "tcbEvaluationDataNumber": 20, "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": "AB".repeat(32), "isvprodid": 2,
            "tcbLevels": [
                { "tcb": { "isvsvn": 4 }, "tcbDate": DATE, "tcbStatus": "OutOfDate",
                  "advisoryIDs": ["INTEL-SA-QE"] },
                { "tcb": { "isvsvn": 8 }, "tcbDate": DATE, "tcbStatus": "UpToDate" },
                { "tcb": { "isvsvn": 2 }, "tcbDate": DATE, "tcbStatus": "Revoked" },
            ],
        });
        Self { revoked_pcks: vec![77], revoked_authorities: vec![], tcb_info, qe_identity }
    }
}

/// The report of an ordinary production enclave.
pub(crate) fn enclave_body() -> Vec<u8> {
    let mut body = vec![0; 384];
    body[48] = 0x05;
    body[56] = 0x03;
    body[64..96].fill(0xe1);
    body[128..160].fill(0x51);
    body[256] = 9;
    body[258] = 4;
    body[320..].fill(0xda);
    body
}

/// The TD 1.5 report of an ordinary domain of the second module generation; cut it for TD 1.0.
pub(crate) fn domain_body() -> Vec<u8> {
    let mut body = vec![0; 648];
    body[..3].copy_from_slice(&[5, 1, 5]);
    body[123] = 0x10;
    body[128..130].copy_from_slice(&[0xe7, 0x02]);
    body[136..184].fill(0x7d);
    for (register, octet) in [0xa0, 0xa1, 0xa2, 0xa3].into_iter().enumerate() {
        body[328 + 48 * register..376 + 48 * register].fill(octet);
    }
    body[520..584].fill(0xda);
    body[584..587].copy_from_slice(&[5, 1, 5]);
    body
}

fn quoting_enclave(shape: &Shape) -> Vec<u8> {
    let mut body = vec![0; 384];
    body[48] = shape.qe_attributes;
    body[128..160].fill(0xab);
    body[256] = 2;
    body[258..260].copy_from_slice(&shape.qe_svn.to_le_bytes());
    body
}

fn certificate(serial: u64, from: &str, to: &str, key: &Key, ca: bool, extra: &[u8]) -> Vec<u8> {
    let constraints = if ca { sequence(&[&boolean(true)]) } else { sequence(&[]) };
    let usage = if ca { [1, 0x06] } else { [6, 0xc0] };
    let extensions = [
        extension(&[0x55, 0x1d, 0x13], true, &constraints),
        extension(&[0x55, 0x1d, 0x0f], true, &tlv(0x03, &usage)),
        extra.to_vec(),
    ];
    sequence(&[
        &tlv(0xa0, &integer(2)),
        &integer(serial),
        &der::algorithm(),
        &name(from),
        &sequence(&[&time(FROM), &time(UNTIL)]),
        &name(to),
        &key.spki(),
        &tlv(0xa3, &sequence(&[&extensions.concat()])),
    ])
}

fn list(key: &Key, issuer: &str, revoked: &[u64]) -> Vec<u8> {
    let entries: Vec<u8> =
        revoked.iter().flat_map(|&serial| sequence(&[&integer(serial), &time(FROM)])).collect();
    let entries = if entries.is_empty() { Vec::new() } else { sequence(&[&entries]) };
    let issuer = name(issuer);
    key.issue(&sequence(&[
        &integer(1),
        &der::algorithm(),
        &issuer,
        &time(FROM),
        &time(UNTIL),
        &entries,
    ]))
}

/// The device: every component at 5, PCESVN 13.
fn sgx_extension() -> Vec<u8> {
    const SGX: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];
    let entry = |number: &[u8], value: &[u8]| sequence(&[&oid(&[SGX, number].concat()), value]);
    let mut tcb: Vec<u8> = (1..=16).flat_map(|at| entry(&[2, at], &integer(5))).collect();
    tcb.extend(entry(&[2, 17], &integer(13)));
    tcb.extend(entry(&[2, 18], &octets(&[5; 16])));
    let content = [
        entry(&[1], &octets(&[1; 16])),
        entry(&[2], &sequence(&[&tcb])),
        entry(&[3], &octets(&[0, 0])),
        entry(&[4], &octets(&[0x00, 0x60, 0x6a, 0, 0, 0])),
        entry(&[5], &tlv(0x0a, &[1])),
        entry(&[6], &octets(&[6; 16])),
        entry(&[7], &sequence(&[&entry(&[7, 1], &boolean(true))])),
    ];
    extension(SGX, false, &sequence(&[&content.concat()]))
}

/// SHA-384 of the concatenated parts.
pub(crate) fn sha384(parts: &[&[u8]]) -> Vec<u8> {
    digest::digest(&digest::SHA384, &parts.concat()).as_ref().to_vec()
}

/// When everything of the vendor is valid.
pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000);

const FROM: &str = "2026-01-01T00:00:00Z";
const UNTIL: &str = "2027-01-01T00:00:00Z";
const DATE: &str = "2025-11-12T00:00:00Z";
const ROOT: &str = "Intel SGX Root CA";
const AUTHORITY: &str = "Intel SGX PCK Platform CA";
