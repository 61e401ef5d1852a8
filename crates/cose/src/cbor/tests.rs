//! Tests of the strict CBOR layer, by the lists of RFC 8949 appendices A and F.

use super::*;

#[test]
fn the_examples_of_the_rfc_pass_every_check() {
    for item in items(WELL_FORMED) {
        assert_eq!(check(&item, Limits::DEFAULT), Ok(()), "{item:02x?}");
        assert_eq!(check_deterministic(&item, Limits::DEFAULT), Ok(()), "{item:02x?}");
    }
}

#[test]
fn indefinite_and_longer_forms_pass_the_lenient_check_only() {
    for (forms, fault) in [(INDEFINITE, Malformed::Indefinite), (LONG, Malformed::NotShortest)] {
        for item in items(forms) {
            assert_eq!(check(&item, Limits::DEFAULT), Ok(()), "{item:02x?}");
            assert_eq!(check_preferred(&item, Limits::DEFAULT), Err(fault.clone()), "{item:02x?}");
            assert_eq!(check_deterministic(&item, Limits::DEFAULT), Err(fault.clone()));
        }
    }
}

//= teep 14.2 (M), 15.112 (M): what is not well-formed is refused
#[test]
fn what_ends_too_early_is_truncated() {
    for item in items(TRUNCATED) {
        assert_eq!(check(&item, Limits::DEFAULT), Err(Malformed::Truncated), "{item:02x?}");
    }
    assert_eq!(check(&[], Limits::DEFAULT), Err(Malformed::Truncated));
}

#[test]
fn the_ill_formed_examples_of_the_rfc_are_refused() {
    for item in items(ILL_FORMED) {
        assert_eq!(check(&item, Limits::DEFAULT), Err(Malformed::NotWellFormed), "{item:02x?}");
    }
}

#[test]
fn bytes_after_the_item_are_refused() {
    assert_eq!(check(&[0x00, 0x00], Limits::DEFAULT), Err(Malformed::Trailing));
    assert_eq!(check(&[0x80, 0xff], Limits::DEFAULT), Err(Malformed::Trailing));
    assert_eq!(whole(&[0x00, 0x00], |d| Ok(d.u8()?)), Err(Malformed::Trailing));
}

//= teep 15.109 (M): nesting is refused at a fixed depth
#[test]
fn nesting_is_bounded() {
    let bombs =
        [vec![0x81; 100_000], vec![0xc1; 100_000], vec![0x9f; 100_000], vec![0xa1; 100_000]];
    for bomb in bombs {
        assert_eq!(check(&bomb, Limits::DEFAULT), Err(Malformed::Depth));
    }
    let mut deep = vec![0x81; 16];
    deep.push(0x00);
    assert_eq!(check(&deep, Limits::DEFAULT), Ok(()));
    deep.insert(0, 0x81);
    assert_eq!(check(&deep, Limits::DEFAULT), Err(Malformed::Depth));
}

//= teep 15.110 (M): a declared length beyond the input is refused
#[test]
fn a_length_beyond_the_input_is_refused() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        let mut bomb = vec![head, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        bomb.extend_from_slice(&[0; 7]);
        assert_eq!(check(&bomb, Limits::DEFAULT), Err(Malformed::Truncated));
        bomb[1..9].fill(0xff);
        assert_eq!(check(&bomb, Limits::DEFAULT), Err(Malformed::Truncated));
    }
}

#[test]
fn size_and_number_of_items_are_bounded() {
    let limits = Limits { depth: 2, bytes: 8, items: 4 };

    assert_eq!(check(&[0x83, 0x01, 0x02, 0x03], limits), Ok(()));
    assert_eq!(check(&[0x84, 0x01, 0x02, 0x03, 0x04], limits), Err(Malformed::TooMany));
    assert_eq!(check(&[0x5f, 0x40, 0x40, 0x40, 0x40, 0xff], limits), Err(Malformed::TooMany));
    assert_eq!(check(&[0x47, 0, 0, 0, 0, 0, 0, 0], limits), Ok(()));
    assert_eq!(check(&[0x48, 0, 0, 0, 0, 0, 0, 0, 0], limits), Err(Malformed::TooLarge));
}

//= teep 14.16 (R): duplicate map keys are refused
#[test]
fn a_key_twice_is_refused_at_every_level() {
    let twice = [
        "a201000100",
        "a3010002000100",
        "a36161006162006161 00",
        "bf01000100ff",
        "8181a201000100",
        "a101a201000100",
        "a1a20100010000",
        "a28101008101 00",
        "c1a201000100",
    ];
    for map in twice {
        assert_eq!(check(&hex(map), Limits::DEFAULT), Err(Malformed::DuplicateKey), "{map}");
    }
}

#[test]
fn equal_keys_of_different_maps_are_not_twice() {
    for maps in ["82a10100a10100", "a201a1010002a10100", "a201a2010002000200"] {
        assert_eq!(check_deterministic(&hex(maps), Limits::DEFAULT), Ok(()), "{maps}");
    }
}

#[test]
fn keys_out_of_order_pass_the_lenient_checks_only() {
    for map in ["a202000100", "a220000100", "a3616200616100616300", "a282010200810100"] {
        assert_eq!(check(&hex(map), Limits::DEFAULT), Ok(()), "{map}");
        assert_eq!(check_preferred(&hex(map), Limits::DEFAULT), Ok(()), "{map}");
        assert_eq!(check_deterministic(&hex(map), Limits::DEFAULT), Err(Malformed::Order), "{map}");
    }
}

#[test]
fn a_key_has_one_spelling_even_in_the_lenient_check() {
    assert_eq!(check(&hex("a2010018 0100"), Limits::DEFAULT), Err(Malformed::NotShortest));
    assert_eq!(check(&hex("a17f6161ff00"), Limits::DEFAULT), Err(Malformed::Indefinite));
    assert_eq!(check(&hex("a1811801 00"), Limits::DEFAULT), Err(Malformed::NotShortest));
    assert_eq!(check(&hex("a1011801"), Limits::DEFAULT), Ok(()));
}

//= teep 15.112 (M): invalid UTF-8 is refused
#[test]
fn text_must_be_utf_8() {
    for text in ["61ff", "62c328", "63e28228", "7f61c361bcff", "a161ff00", "64eda08080"] {
        assert_eq!(check(&hex(text), Limits::DEFAULT), Err(Malformed::Utf8), "{text}");
    }
    assert_eq!(check(&hex("41ff"), Limits::DEFAULT), Ok(()));
}

#[test]
fn a_map_reader_takes_ascending_integer_keys() {
    assert_eq!(whole(&hex("a301020304 2005"), entries), Ok(vec![(1, 2), (3, 4), (-1, 5)]));
    assert_eq!(whole(&hex("a0"), entries), Ok(vec![]));
}

#[test]
fn a_map_reader_refuses_other_maps() {
    let refused = [
        ("a203040102", Malformed::Order),
        ("a201040102", Malformed::DuplicateKey),
        ("bf0102ff", Malformed::Indefinite),
        ("a1616102", Malformed::Cbor(1)),
        ("820102", Malformed::Cbor(0)),
        ("a201020 3", Malformed::Truncated),
        ("a1010200", Malformed::Trailing),
    ];
    for (map, fault) in refused {
        assert_eq!(whole(&hex(map), entries), Err(fault), "{map}");
    }
}

#[test]
fn a_map_writer_sorts_by_the_encoded_key() {
    let mut map = MapWriter::new();
    assert!(map.is_empty());
    map.put_text("a", vec![0x00]);
    map.put(-1, |e| e.u8(1)?.ok());
    map.put(24, |e| e.u8(2)?.ok());
    map.put(3, |e| e.u8(9)?.ok());
    map.put_encoded(3, vec![0x03]);

    let bytes = map.finish();

    assert_eq!(bytes, hex("a4 0303 181802 2001 616100"));
    assert_eq!(check_deterministic(&bytes, Limits::DEFAULT), Ok(()));
}

#[test]
fn a_tuple_has_a_definite_or_an_indefinite_length() {
    let pair = |d: &mut Decoder<'_>| tuple(d, 2, "a pair", |d| Ok((d.u8()?, d.u8()?)));
    let not_a_pair = Err(Malformed::Expected("a pair"));

    assert_eq!(whole(&hex("820102"), pair), Ok((1, 2)));
    assert_eq!(whole(&hex("9f0102ff"), pair), Ok((1, 2)));
    assert_eq!(whole(&hex("83010203"), pair), not_a_pair);
    assert_eq!(whole(&hex("9f010203ff"), pair), not_a_pair);
    assert_eq!(whole(&hex("a10102"), pair), not_a_pair);
    assert_eq!(whole(&hex("9f01ff"), pair), Err(Malformed::Cbor(2)));
    assert_eq!(whole(&hex("9f0102"), pair), Err(Malformed::Truncated));
}

#[test]
fn an_item_is_taken_as_it_stands() {
    let bytes = hex("82a10102 1800");

    let items = whole(&bytes, |d| tuple(d, 2, "a pair", |d| Ok((item(d)?, item(d)?))));

    assert_eq!(items, Ok((&bytes[1..4], &bytes[4..])));
}

fn entries(d: &mut Decoder<'_>) -> Result<Vec<(i64, i64)>, Malformed> {
    let mut map = MapReader::new(d)?;
    let mut entries = Vec::new();
    while let Some(key) = map.key()? {
        entries.push((key, map.value().i64()?));
    }
    Ok(entries)
}

fn items(list: &str) -> impl Iterator<Item = Vec<u8>> {
    list.split_whitespace().map(hex)
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// RFC 8949 appendix A, the deterministic ones.
const WELL_FORMED: &str = "\
    00 01 0a 17 1818 1819 1864 1903e8 1a000f4240 1b000000e8d4a51000 1bffffffffffffffff \
    c249010000000000000000 3bffffffffffffffff 20 29 3863 3903e7 f90000 f98000 f93c00 \
    fb3ff199999999999a f93e00 f97bff fa47c35000 fa7f7fffff fb7e37e43c8800759c f90001 f90400 \
    f9c400 fbc010666666666666 f97c00 f97e00 f9fc00 f4 f5 f6 f7 f0 f8ff c11a514b67b0 \
    d74401020304 c074323031332d30332d32315432303a30343a30305a d818456449455446 40 4401020304 \
    60 6161 6449455446 62225c 62c3bc 64f0908591 80 83010203 8301820203820405 a0 a201020304 \
    a26161016162820203 826161a161626163 a56161614161626142616361436164614461656145";

/// RFC 8949 appendix A, the indefinite ones.
const INDEFINITE: &str = "\
    5f42010243030405ff 7f657374726561646d696e67ff 9fff 9f018202039f0405ffff 83018202039f0405ff \
    bf61610161629f0203ffff 826161bf61626163ff";

/// Numbers, lengths and floats with a shorter spelling.
const LONG: &str = "\
    1800 1817 3800 1900ff 1a0000ffff 1b00000000ffffffff 580100 780161 d80000 980100 b8010000 \
    fa3fc00000 fb3ff8000000000000 fa7fc00000 fb7ff0000000000000 fa33800000 fb36a0000000000000";

/// RFC 8949 appendix F, where the input ends too early.
const TRUNCATED: &str = "\
    18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900 fa0000 \
    fb000000 41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203 \
    81 818181818181818181 8200 a1 a20102 a100 a2000000 c0 5f4100 7f6100 9f 9f0102 bf \
    bf01020202 819f 9f8000 9f9f9f9f9fffffffff 9f819f819f9fffffff a1ff a20000ff";

/// RFC 8949 appendix F, the others.
const ILL_FORMED: &str = "\
    1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe f800 f801 f818 \
    f81f 5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff 5f5f4100ffff \
    7f7f6100ffff ff 81ff 8200ff a1ff00 a100ff 9f81ff 9f829f819f9fffffffff bf00ff \
    bf000001ff 1f 3f df";
