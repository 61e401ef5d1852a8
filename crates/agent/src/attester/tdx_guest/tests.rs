use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::sys::tdx::TdReport;

#[test]
fn the_hosts_service_turns_a_report_into_a_quote() {
    let root = tempfile::tempdir().unwrap();
    let guest = TdxGuest::over(Box::new(Fake::default()), root.path()).unwrap();

    let quote = guest.quote([7; 64]).unwrap();

    assert_eq!(quote.media_type, rats::evidence::TDX_QUOTE);
    assert_eq!((quote.evidence.len(), quote.aux), (5000, None));
    assert_eq!(quote.evidence[568..632], [7; 64]);
    assert_eq!(guest.description().family, "TDX");
    assert!(guest.sealing_key("storage").unwrap_err().is_lack());
    assert_eq!(guest.counter(), Ok(None));
}

#[test]
fn the_port_is_the_configured_one_or_intels() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join(CONFIG);
    fs::create_dir(config.parent().unwrap()).unwrap();
    assert_eq!(port(&config), Ok(PORT));

    fs::write(&config, "# where qgs listens\nport = 5050\n").unwrap();
    assert_eq!(port(&config), Ok(5050));
    fs::write(&config, "").unwrap();
    assert_eq!(port(&config), Ok(PORT));
    fs::write(&config, "port=everywhere").unwrap();
    assert_eq!(port(&config), Err(Fault::new(&config, Problem::Malformed("port"))));
}

#[test]
fn failures_name_what_failed() {
    let root = tempfile::tempdir().unwrap();
    let failed = |fake| TdxGuest::over(Box::new(fake), root.path()).unwrap_err();
    let service = |problem| Fault::new(Path::new("vsock:2:4050"), problem);
    const MALFORMED: Problem = Problem::Malformed("response of the quoting service");

    let fake = Fake { report_error: Some(libc::EIO), ..Fake::default() };
    let fault = failed(fake);
    assert_eq!(fault.interface, root.path().join(PATH).display().to_string());
    let fake = Fake { service: Service::Absent, ..Fake::default() };
    assert_eq!(failed(fake), service(Problem::NoQuotingService(4050)));
    let fake = Fake { service: Service::Code(0x12001), ..Fake::default() };
    assert_eq!(failed(fake), service(Problem::QuotingService(0x12001)));
    let fake = Fake { service: Service::Gone, ..Fake::default() };
    assert_eq!(failed(fake), service(Problem::Os(io::ErrorKind::UnexpectedEof)));
    let fake = Fake { service: Service::Length(u32::MAX), ..Fake::default() };
    let length = Problem::Malformed("response of a length that makes sense");
    assert_eq!(failed(fake), service(length));
    let fake = Fake { service: Service::QuoteSize(4999), ..Fake::default() };
    assert_eq!(failed(fake), service(MALFORMED));
    let fake = Fake { service: Service::OtherData, ..Fake::default() };
    assert_eq!(failed(fake), service(Problem::OtherData));
    let fake = Fake { service: Service::ShortQuote, ..Fake::default() };
    assert_eq!(failed(fake), service(Problem::Length { expected: 764, seen: 100 }));
    assert_eq!(opened(&[1, 0, 0, 0, 7, 0, 0, 0]), Err(MALFORMED));
    assert_eq!(opened(&[]), Err(MALFORMED));
}

#[test]
fn a_machine_without_the_device_says_so() {
    let root = tempfile::tempdir().unwrap();

    let absent = TdxGuest::open(root.path()).unwrap_err();

    assert_eq!(absent, Fault::new(&root.path().join(PATH), Problem::Absent));
}

proptest! {
    /// What the host answers is the host's.
    #[test]
    fn any_response_is_read_without_panic(
        words in proptest::collection::vec(any::<u32>(), 0..12), cut in 0_usize..48
    ) {
        let response = words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        let _ = opened(&response[..response.len().min(cut)]);
        let mut response = [&[1, 0, 0, 0, 1, 0, 0, 0][..], &response].concat();
        if let Some(code) = response.get_mut(12..16) {
            code.fill(0);
        }
        if let Ok(quote) = opened(&response) {
            prop_assert!(response.ends_with(&quote));
        }
    }
}

/// A TDX module of a test, and what its host's service does.
#[derive(Default)]
struct Fake {
    report_error: Option<i32>,
    service: Service,
}

#[derive(Clone, Copy, Default)]
enum Service {
    #[default]
    Works,
    Absent,
    Code(u32),
    Gone,
    Length(u32),
    QuoteSize(u32),
    OtherData,
    ShortQuote,
}

impl Module for Fake {
    fn report(&self, report_data: &[u8; 64]) -> io::Result<TdReport> {
        if let Some(error) = self.report_error {
            return Err(io::Error::from_raw_os_error(error));
        }
        let mut report = Box::new([0; 1024]);
        report[128..192].copy_from_slice(report_data);
        Ok(report)
    }

    fn quoting_service(&self, port: u32) -> io::Result<Box<dyn Stream>> {
        assert_eq!(port, PORT);
        if let Service::Absent = self.service {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let (guest, host) = UnixStream::pair()?;
        let service = self.service;
        thread::spawn(move || serve(host, service));
        Ok(Box::new(guest))
    }
}

/// Intel's service: a quote over the data in the report.
fn serve(mut stream: UnixStream, service: Service) {
    let mut request = vec![0; 4 + 24 + 1024];
    stream.read_exact(&mut request).unwrap();
    let header = [&1048_u32.to_be_bytes()[..], &[1, 0, 0, 0], &[0; 4]].concat();
    assert_eq!(request[..12], header);
    let sizes = [1048_u32, 0, 1024, 0].map(u32::to_le_bytes).concat();
    assert_eq!(request[12..28], sizes);

    let mut quote = vec![0; 5000];
    quote[0] = 4;
    quote[568..632].copy_from_slice(&request[28 + 128..28 + 192]);
    let mut code = 0;
    if let Service::Code(failed) = service {
        code = failed;
        quote.clear();
    } else if let Service::OtherData = service {
        quote[568] ^= 1;
    } else if let Service::ShortQuote = service {
        quote.truncate(100);
    }
    let id = b"identifier";
    let mut sizes = [id.len() as u32, quote.len() as u32];
    if let Service::QuoteSize(claimed) = service {
        sizes[1] = claimed;
    }
    let length = 24 + (id.len() + quote.len()) as u32;
    let claimed = if let Service::Length(claimed) = service { claimed } else { length };
    let mut response = claimed.to_be_bytes().to_vec();
    response.extend([1, 0, 0, 0]);
    for word in [1, length, code, sizes[0], sizes[1]] {
        response.extend(word.to_le_bytes());
    }
    response.extend(id);
    response.extend(quote);
    if let Service::Gone = service {
        response.truncate(response.len() - 1);
    }
    // The guest may have gone away at the first word.
    let _ = stream.write_all(&response);
}
