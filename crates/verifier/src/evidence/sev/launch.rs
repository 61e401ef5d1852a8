//! What the firmware measured when a guest was launched.

use cose::Malformed;
use cose::cbor::{Limits, check_deterministic, encode, whole};
use cose::hmac_sha256;

use crate::crypto::{equal, sha256, sha256_of};
use crate::value::Value;

/// The evidence of a launch, as the device sends it: the answer to LAUNCH_MEASURE with what it was
/// made from, and after the guest has started the proof that it holds the injected secret.
///
/// Encoded as `application/vnd.tamarack.sev-launch+cbor`, deterministic:
///
/// ```cddl
/// sev-launch = [
///   api-major: uint .size 1, api-minor: uint .size 1, build: uint .size 1,
///   policy: uint .size 4, digest: bstr .size 32,
///   measure: bstr .size 48,            ; MAC, then the firmware's nonce
///   proof: bstr .size 32 / null        ; HMAC-SHA-256 of the user data by the injected key
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The version of the firmware: API major, API minor, build.
    pub firmware: [u8; 3],
    /// The guest's policy.
    pub policy: GuestPolicy,
    /// The launch digest.
    pub digest: [u8; 32],
    /// HMAC by the transport integrity key.
    pub mac: [u8; 32],
    /// MNONCE: the firmware's nonce.
    pub nonce: [u8; 16],
    /// The proof that this guest received the secret of this launch.
    pub proof: Option<[u8; 32]>,
}

/// The policy under which a guest was launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPolicy(pub u32);

/// The kernel that firmware starts directly, measured through a table of its hashes.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// The kernel image.
    pub image: &'a [u8],
    /// The initial file system; may be empty.
    pub initrd: &'a [u8],
    /// The command line without the zero at its end.
    pub command_line: &'a [u8],
}

impl Launch {
    /// Whether the firmware that holds this key measured this launch.
    //= EV-SEV-4: HMAC by TIK over version, policy, digest and nonce
    #[must_use]
    pub fn is_measured_by(&self, integrity_key: &[u8]) -> bool {
        let mut message = vec![MEASURE_CONTEXT];
        message.extend(self.firmware);
        message.extend(self.policy.0.to_le_bytes());
        message.extend(self.digest);
        message.extend(self.nonce);
        equal(&hmac_sha256(integrity_key, &message), &self.mac)
    }

    /// Encodes deterministically.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let [major, minor, build] = self.firmware;
        let measure = [&self.mac[..], &self.nonce].concat();
        encode(|e| {
            e.array(7)?.u8(major)?.u8(minor)?.u8(build)?.u32(self.policy.0)?;
            e.bytes(&self.digest)?.bytes(&measure)?;
            match &self.proof {
                Some(proof) => e.bytes(proof)?.ok(),
                None => e.null()?.ok(),
            }
        })
    }

    /// Reads exactly one launch; only the deterministic encoding is accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_deterministic(bytes, Limits::DEFAULT)?;
        whole(bytes, |d| {
            if d.array()? != Some(7) {
                return Err(Malformed::Expected("a sev-launch of seven members"));
            }
            let firmware = [d.u8()?, d.u8()?, d.u8()?];
            let policy = GuestPolicy(d.u32()?);
            let digest = octets(d.bytes()?)?;
            let measure: [u8; 48] = octets(d.bytes()?)?;
            let (mac, nonce) = measure.split_at(32);
            let (mac, nonce) = (octets(mac)?, octets(nonce)?);
            let proof = match d.datatype()? {
                cose::cbor::Type::Null => {
                    d.null()?;
                    None
                }
                _ => Some(octets(d.bytes()?)?),
            };
            Ok(Self { firmware, policy, digest, mac, nonce, proof })
        })
    }

    /// Every field for showing.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let [major, minor, build] = self.firmware;
        let mut fields = vec![
            ("api", Value::from(format!("{major}.{minor}"))),
            ("build", build.into()),
            ("policy", Value::from(format!("{:#x}", self.policy.0))),
            ("launch_digest", (&self.digest).into()),
            ("measure", (&self.mac).into()),
            ("mnonce", (&self.nonce).into()),
        ];
        fields.extend(self.proof.as_ref().map(|proof| ("proof", proof.into())));
        fields
    }
}

impl GuestPolicy {
    /// The host may not debug the guest.
    pub const NODBG: u32 = 1;
    /// The guest's key may not be shared with another guest.
    pub const NOKS: u32 = 1 << 1;
    /// Registers must be encrypted.
    pub const ES: u32 = 1 << 2;
    /// The guest may not be sent to another platform.
    pub const NOSEND: u32 = 1 << 3;
    /// The guest may be sent inside its domain only.
    pub const DOMAIN: u32 = 1 << 4;
    /// The guest may be sent to platforms with SEV only.
    pub const SEV: u32 = 1 << 5;

    /// Whether all of these flags are set.
    #[must_use]
    pub const fn has(self, flags: u32) -> bool {
        self.0 & flags == flags
    }

    /// The lowest firmware API that the guest demands: major, minor.
    #[must_use]
    pub const fn api_min(self) -> [u8; 2] {
        let [_, _, major, minor] = self.0.to_le_bytes();
        [major, minor]
    }
}

/// The launch digest of a guest: firmware, optionally the kernel that it starts, and for SEV-ES
/// the save area of each virtual processor in order.
//= EV-SEV-4: SHA-256 over firmware, kernel-hash table and each VMSA
#[must_use]
pub fn launch_digest(firmware: &[u8], kernel: Option<&Kernel<'_>>, vmsas: &[&[u8]]) -> [u8; 32] {
    let table = kernel.map(Kernel::table).unwrap_or_default();
    sha256_of(&[&[firmware, &table], vmsas].concat())
}

impl Kernel<'_> {
    /// The table of hashes as it lies in guest memory, padded to 16 octets.
    fn table(&self) -> Vec<u8> {
        let command_line = [self.command_line, &[0]].concat();
        let mut table = TABLE.to_vec();
        table.extend(TABLE_LENGTH.to_le_bytes());
        for (id, content) in
            [(COMMAND_LINE, &command_line[..]), (INITRD, self.initrd), (IMAGE, self.image)]
        {
            table.extend(id);
            table.extend(ENTRY_LENGTH.to_le_bytes());
            table.extend(sha256(content));
        }
        table.resize(table.len().next_multiple_of(16), 0);
        table
    }
}

fn octets<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed::Expected("byte strings of the stated size"))
}

const MEASURE_CONTEXT: u8 = 0x04;
const ENTRY_LENGTH: u16 = 16 + 2 + 32;
const TABLE_LENGTH: u16 = 16 + 2 + 3 * ENTRY_LENGTH;
/// 9438d606-4f22-4cc9-b479-a793d411fd21, as bytes.
const TABLE: [u8; 16] = [
    0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21,
];
/// 97d02dd8-bd20-4c94-aa78-e7714d36ab2a, as bytes.
const COMMAND_LINE: [u8; 16] = [
    0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a,
];
/// 44baf731-3a2f-4bd7-9af1-41e29169781d, as bytes.
const INITRD: [u8; 16] = [
    0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d,
];
/// 4de79437-abd2-427f-b835-d5b172d2045b, as bytes.
const IMAGE: [u8; 16] = [
    0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b,
];
