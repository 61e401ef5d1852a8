//! `/dev/attestation` as Gramine does it: the quote covers what was written last.

use fuser::FileType;

use crate::fuse::Machine;

pub(crate) struct LibraryOs {
    pub(crate) attestation_type: &'static str,
    pub(crate) sealing_key: Result<Vec<u8>, i32>,
    pub(crate) quote_error: Option<i32>,
    data: Vec<u8>,
}

impl LibraryOs {
    pub(crate) fn new() -> Self {
        Self {
            attestation_type: "dcap",
            sealing_key: Ok(vec![0x5a; 16]),
            quote_error: None,
            data: vec![0; 64],
        }
    }
}

impl Machine for LibraryOs {
    fn kind(&self, path: &str) -> Option<FileType> {
        match path {
            "dev" | "dev/attestation" | "dev/attestation/keys" => Some(FileType::Directory),
            "dev/attestation/attestation_type"
            | "dev/attestation/user_report_data"
            | "dev/attestation/quote"
            | "dev/attestation/keys/_sgx_mrenclave" => Some(FileType::RegularFile),
            _ => None,
        }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, i32> {
        match path.rsplit('/').next().unwrap() {
            "attestation_type" => Ok(self.attestation_type.into()),
            "quote" => {
                self.quote_error.map_or(Ok(()), Err)?;
                let mut quote = vec![0; 4000];
                quote[0] = 3;
                quote[28..44].fill(0x77);
                quote[368..432].copy_from_slice(&self.data);
                Ok(quote)
            }
            "_sgx_mrenclave" => self.sealing_key.clone(),
            _ => Err(libc::EACCES),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), i32> {
        if !path.ends_with("user_report_data") || bytes.len() > 64 {
            return Err(libc::EACCES);
        }
        self.data = bytes.to_vec();
        self.data.resize(64, 0);
        Ok(())
    }
}
