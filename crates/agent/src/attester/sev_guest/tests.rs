use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::sys::sev::Response;

#[test]
fn a_report_comes_with_the_hosts_certificates() {
    let guest = SevGuest::over(Box::new(Fake::default()), PATH.into(), 1).unwrap();

    let quote = guest.quote([7; 64]).unwrap();

    assert_eq!(quote.media_type, rats::evidence::SEV_SNP_REPORT);
    assert_eq!((quote.evidence.len(), &quote.evidence[0x50..0x90]), (1184, &[7; 64][..]));
    assert_eq!(quote.evidence[0x30], 1, "the level that was asked for");
    assert_eq!(quote.aux.unwrap(), certificates());
    let description = guest.description();
    assert_eq!((description.family.as_str(), description.ueid.len()), ("SEV-SNP", 33));
}

#[test]
fn the_identifier_is_the_chips_and_new_at_each_start_where_it_is_hidden() {
    let ueid = |fake: Fake| {
        SevGuest::over(Box::new(fake), PATH.into(), 0).unwrap().description().ueid.clone()
    };

    assert_eq!(ueid(Fake::default()), ueid(Fake::default()));
    let hidden = || Fake { chip: [0; 64], ..Fake::default() };
    assert_ne!(ueid(hidden()), ueid(hidden()));
}

#[test]
fn sealing_keys_come_from_policy_and_measurement() {
    let guest = SevGuest::over(Box::new(Fake::default()), PATH.into(), 2).unwrap();

    let key = guest.sealing_key("storage").unwrap();

    assert_eq!(key, sealing::derive(&[0x5a; 32], "storage"));
    assert_ne!(key, guest.sealing_key("other").unwrap());
}

#[test]
fn a_host_that_is_busy_is_asked_again_but_not_for_ever() {
    let busy = |times| Fake { busy: AtomicU32::new(times), ..Fake::default() };

    assert!(SevGuest::over(Box::new(busy(2)), PATH.into(), 0).is_ok());
    let failed = SevGuest::over(Box::new(busy(u32::MAX)), PATH.into(), 0).unwrap_err();
    assert_eq!(failed, Fault::new(Path::new(PATH), Problem::Busy(ATTEMPTS_MAX)));
}

#[test]
fn failures_name_the_interface_and_the_remedy() {
    let failed = |fake| SevGuest::over(Box::new(fake), PATH.into(), 0).unwrap_err();
    let fault = |problem| Fault::new(Path::new(PATH), problem);

    let firmware = Failed { error: libc::EIO, firmware: 0x16 };
    let fake = Fake { fails: Some(firmware), ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Firmware(0x16)));
    let denied = Failed { error: libc::EACCES, firmware: 0 };
    let fake = Fake { fails: Some(denied), ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Denied));
    let fake = Fake { status: 0x16, ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Firmware(0x16)));
    let fake = Fake { length: 1000, ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Length { expected: 1184, seen: 1000 }));
    let fake = Fake { length: 5000, ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Malformed("report of the length it says")));
    let fake = Fake { other_data: true, ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::OtherData));
    let text = fault(Problem::Denied).to_string();
    let expected = "dev/sev-guest: permission denied; give the Agent's user read and write access";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_machine_without_the_device_says_so() {
    let root = tempfile::tempdir().unwrap();

    let absent = SevGuest::open(root.path(), None).unwrap_err();

    assert_eq!(absent, Fault::new(&root.path().join(PATH), Problem::Absent));
}

#[test]
fn a_table_ends_with_its_last_certificate_or_is_none() {
    let certificates = certificates();
    let filled = [&certificates[..], &[0; 100]].concat();
    assert_eq!(table(&filled), Some(&certificates[..]));

    assert_eq!(table(&[0; 100]), None, "no certificate");
    assert_eq!(table(&[1; 96]), None, "no end");
    assert_eq!(table(&filled[..certificates.len() - 1]), None, "a certificate beyond the end");
    assert_eq!(table(&[]), None);
}

proptest! {
    /// The host fills the table.
    #[test]
    fn any_table_is_read_without_panic(
        words in proptest::collection::vec(any::<u32>(), 0..40), end in 0_usize..160
    ) {
        let mut bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        if let Some(entry) = bytes.get_mut(end..end + TABLE_ENTRY_BYTES) {
            entry.fill(0);
        }
        if let Some(table) = table(&bytes) {
            prop_assert!(bytes.starts_with(table));
        }
    }
}

/// The secure processor of a test.
struct Fake {
    chip: [u8; 64],
    busy: AtomicU32,
    fails: Option<Failed>,
    status: u32,
    length: u32,
    other_data: bool,
}

impl Default for Fake {
    fn default() -> Self {
        let busy = AtomicU32::new(0);
        Self { chip: [9; 64], busy, fails: None, status: 0, length: 1184, other_data: false }
    }
}

impl Firmware for Fake {
    fn extended_report(
        &self,
        report_data: &[u8; 64],
        privilege_level: u32,
        table: &mut [u8],
    ) -> Result<Response, Failed> {
        let still = |left: u32| left.checked_sub(1);
        if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, still).is_ok() {
            return Err(Failed { error: libc::EAGAIN, firmware: VMM_BUSY << 32 });
        }
        if let Some(failed) = self.fails {
            return Err(failed);
        }
        let mut response = Box::new([0; 4000]);
        response[..4].copy_from_slice(&self.status.to_le_bytes());
        response[4..8].copy_from_slice(&self.length.to_le_bytes());
        let report = &mut response[REPORT_AT..];
        report[0x30..0x34].copy_from_slice(&privilege_level.to_le_bytes());
        report[0x50..0x90].copy_from_slice(report_data);
        report[0x50] ^= u8::from(self.other_data);
        report[0x1a0..0x1e0].copy_from_slice(&self.chip);
        table[..certificates().len()].copy_from_slice(&certificates());
        Ok(response)
    }

    fn derived_key(&self, request: &[u8; 32]) -> Result<[u8; 64], Failed> {
        // Root key VCEK, fields policy and measurement, level 2.
        let mut expected = [0; 32];
        (expected[8], expected[16]) = (0b1001, 2);
        assert_eq!(request, &expected);
        let mut response = [0; 64];
        response[32..].fill(0x5a);
        Ok(response)
    }
}

/// A table with one certificate of five bytes, and the end of the table.
fn certificates() -> Vec<u8> {
    let mut table = vec![0x11; 16];
    table.extend(48_u32.to_le_bytes());
    table.extend(5_u32.to_le_bytes());
    table.extend([0; 24]);
    table.extend(b"certs");
    table
}
