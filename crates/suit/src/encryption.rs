//! SUIT_Encryption_Info (suit-firmware-encryption).

use crate::cbor::{Kind, Reader, each_entry};
use crate::error::{Error, Malformed, Unsupported};

/// Whether the cipher of a SUIT_Encryption_Info proves by itself that the ciphertext is whole.
pub(crate) fn is_authenticating(info: &[u8]) -> Result<bool, Error> {
    let mut reader = Reader::open(info)?;
    if reader.kind()? != Kind::Tag || reader.tag()? != TAG_ENCRYPT {
        return Err(Malformed::Expected("a tagged COSE_Encrypt").into());
    }
    reader.exact_array(4, "a COSE_Encrypt")?;
    let protected = reader.bytes()?;
    let mut algorithm = None;
    if !protected.is_empty() {
        algorithm = read_algorithm(&mut Reader::open(protected)?)?;
    }
    let outside = read_algorithm(&mut reader)?;
    match (algorithm, outside) {
        (Some(1..=3 | 24), None) => Ok(true),
        //= suit 13.82 (M): CTR with alg in protected header refused. E 6
        (None, Some(-65534..=-65532)) if protected.is_empty() => Ok(false),
        //= suit 13.92 (S): AES-CBC and unknown content algs: reason 3.
        (Some(other), _) | (None, Some(other)) => {
            Err(Unsupported::EncryptionAlgorithm(other).into())
        }
        (None, None) => Err(Malformed::Absent("content encryption algorithm").into()),
    }
}

fn read_algorithm(reader: &mut Reader<'_>) -> Result<Option<i64>, Error> {
    let mut algorithm = None;
    each_entry(reader, |key, reader| {
        if key == 1 {
            algorithm = Some(reader.int()?);
        } else {
            reader.raw()?;
        }
        Ok(())
    })?;
    Ok(algorithm)
}

const TAG_ENCRYPT: u64 = 96;
