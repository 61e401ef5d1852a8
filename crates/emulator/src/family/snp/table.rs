//! The certificate table that the host gives beside a report (GHCB specification: SNP extended
//! guest request): entries of GUID, offset and length, a zero entry, then the certificates.

/// A VCEK certificate with its issuers.
pub(super) struct Chain {
    pub(super) vcek: Vec<u8>,
    pub(super) ask: Vec<u8>,
    pub(super) ark: Vec<u8>,
}

/// Encodes the table.
pub(super) fn encode(chain: &Chain) -> Vec<u8> {
    let certificates = [(VCEK, &chain.vcek), (ASK, &chain.ask), (ARK, &chain.ark)];
    let mut offset = ENTRY_BYTES * (certificates.len() + 1);
    let mut table = Vec::new();
    for (guid, certificate) in certificates {
        table.extend(guid);
        table.extend((offset as u32).to_le_bytes());
        table.extend((certificate.len() as u32).to_le_bytes());
        offset += certificate.len();
    }
    table.extend([0; ENTRY_BYTES]);
    for (_, certificate) in certificates {
        table.extend(certificate);
    }
    table
}

const ENTRY_BYTES: usize = 24;

/// 63da758d-e664-4564-adc5-f4b93be8accd, fields little-endian.
const VCEK: [u8; 16] = [
    0x8d, 0x75, 0xda, 0x63, 0x64, 0xe6, 0x64, 0x45, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd,
];
/// 4ab7b379-bbac-4fe4-a02f-05aef327c782
const ASK: [u8; 16] = [
    0x79, 0xb3, 0xb7, 0x4a, 0xac, 0xbb, 0xe4, 0x4f, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82,
];
/// c0b406a4-a803-4952-9743-3fb6014cd0ae
const ARK: [u8; 16] = [
    0xa4, 0x06, 0xb4, 0xc0, 0x03, 0xa8, 0x52, 0x49, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae,
];
