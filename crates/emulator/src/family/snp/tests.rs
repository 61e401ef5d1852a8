use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use super::*;

#[test]
fn a_report_has_the_layout_of_its_version_and_the_signature_of_its_chip() {
    let vcek = P384Key::generate().unwrap();
    for (product, version) in [(Product::Genoa, 3), (Product::Turin, 5)] {
        let report = report(product).sign(&vcek).unwrap();

        assert_eq!(report.len(), 1184);
        assert_eq!(report[..8], [version, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(report[0x050..0x090], [1; 64]);
        assert_eq!(report[0x090..0x0c0], [2; 48]);
        assert_eq!(report[0x0c0..0x0e0], [3; 32]);
        assert_eq!(report[0x180..0x188], Tcb::UP_TO_DATE.to_bytes(product));
        assert_eq!(report[0x1a0..0x1e0], [5; 64]);
        assert_eq!(report[0x1f8] != 0, version == 5, "mitigation vectors");
        let number = |at: usize| report[at..at + 48].iter().rev().copied().collect::<Vec<_>>();
        let signature = [number(0x2a0), number(0x2e8)].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, vcek.point());
        key.verify(&report[..0x2a0], &signature).unwrap();
        assert_eq!(report[0x2d0..0x2e8], [0; 24]);
        assert!(report[0x318..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn debugging_is_a_bit_of_the_guest_policy() {
    assert_eq!(GuestPolicy::guest(false).to_bytes(), [0x37, 1, 3, 0, 0, 0, 0, 0]);
    assert_eq!(GuestPolicy::guest(true).to_bytes(), [0x37, 1, 0x0b, 0, 0, 0, 0, 0]);
}

fn report(product: Product) -> Report {
    Report {
        product,
        guest_policy: GuestPolicy::guest(false),
        tcb: Tcb::UP_TO_DATE,
        report_data: [1; 64],
        measurement: [2; 48],
        host_data: [3; 32],
        report_id: [4; 32],
        chip_id: [5; 64],
    }
}
