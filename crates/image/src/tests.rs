use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use crate::layer::{self, Budget};
use crate::tree::{Node, Tree};
use crate::{Limits, Recipe, Refused, Start, open};

#[test]
fn an_image_is_opened_as_it_was_built_and_built_the_same_twice() {
    let recipe = || {
        let start = Start {
            arguments: vec!["/bin/ta".to_owned(), "--quiet".to_owned()],
            environment: vec!["LANG=C".to_owned()],
            folder: "/data".to_owned(),
        };
        Recipe::new("amd64", start).with("bin/ta", true, b"program".to_vec()).unwrap()
    };

    let archive = recipe().build();
    let image = open(&archive, "amd64", Limits::DEFAULT).unwrap();

    assert_eq!(archive, recipe().build());
    assert_eq!(image.start.arguments, ["/bin/ta", "--quiet"]);
    assert_eq!(
        (image.start.environment[0].as_str(), image.start.folder.as_str()),
        ("LANG=C", "/data")
    );
    let program = Node::File { executable: true, content: b"program".to_vec() };
    assert_eq!(image.tree.find("/bin/ta"), Some(&program));
    assert_eq!(image.tree.find("bin"), Some(&Node::Folder));
}

#[test]
fn an_image_of_another_machine_is_refused() {
    let archive = program();

    let refused = open(&archive, "arm64", Limits::DEFAULT).unwrap_err();

    assert_eq!(refused, Refused::Architecture { expected: "arm64".into(), seen: "amd64".into() });
}

#[test]
fn an_image_of_a_component_is_for_every_machine() {
    let module = b"\0asm".to_vec();
    let archive = Recipe::of_program(crate::ANY_MACHINE, "ta.wasm", module).unwrap().build();

    let [one, other] = ["amd64", "arm64"].map(|here| open(&archive, here, Limits::DEFAULT));

    assert_eq!(one, other);
    assert!(one.is_ok());
}

#[test]
fn a_blob_with_one_byte_changed_is_refused() {
    let archive = program();
    let at = archive.windows(2).rposition(|two| two == [0x1f, 0x8b]).unwrap();
    let mut changed = archive.clone();
    changed[at + 20] ^= 1;

    assert!(matches!(open(&changed, "amd64", Limits::DEFAULT), Err(Refused::Digest { .. })));
    let cut = &archive[..at + 100];
    assert!(matches!(
        open(cut, "amd64", Limits::DEFAULT),
        Err(Refused::NotAnArchive(_) | Refused::Absent(_))
    ));
    assert_eq!(open(b"", "amd64", Limits::DEFAULT), Err(Refused::Absent("oci-layout".into())));
}

#[test]
fn an_image_without_a_program_that_runs_is_refused() {
    let nothing = Recipe::new("amd64", Start::default()).build();
    assert_eq!(open(&nothing, "amd64", Limits::DEFAULT), Err(Refused::NoProgram));

    let start = Start { arguments: vec!["/ta".to_owned()], ..Start::default() };
    let data = Recipe::new("amd64", start).with("ta", false, b"data".to_vec()).unwrap().build();
    assert_eq!(open(&data, "amd64", Limits::DEFAULT), Err(Refused::Program("/ta".into())));
}

#[test]
fn a_path_that_leaves_the_root_is_refused() {
    for path in ["../escape", "a/../../escape", "/etc/passwd", "a/../b"] {
        let layer = layer_of(&[(path, EntryType::Regular, 0o644, "", b"x")]);
        assert_eq!(unpacked(&layer), Err(Refused::Path(path.to_owned())), "{path}");
    }
}

#[test]
fn a_link_that_leads_out_is_refused_and_one_that_stays_is_followed() {
    for (kind, target) in [
        (EntryType::Symlink, "/etc"),
        (EntryType::Symlink, "../../etc"),
        (EntryType::Link, "/etc/passwd"),
        (EntryType::Link, "../etc/passwd"),
        (EntryType::Link, "absent"),
    ] {
        let layer = layer_of(&[("a/link", kind, 0o777, target, b"")]);
        let refused = Refused::Link { path: "a/link".into(), target: target.into() };
        assert_eq!(unpacked(&layer), Err(refused), "{target}");
    }
    let layer = layer_of(&[
        ("usr/bin/ta", EntryType::Regular, 0o755, "", b"x"),
        ("bin", EntryType::Symlink, 0o777, "usr/bin", b""),
        ("again", EntryType::Link, 0o755, "usr/bin/ta", b""),
    ]);
    let tree = unpacked(&layer).unwrap();
    let file = Node::File { executable: true, content: b"x".to_vec() };
    assert_eq!(tree.find("/bin/ta"), Some(&file));
    assert_eq!(tree.find("again"), Some(&file));
}

#[test]
fn nothing_is_written_through_a_link() {
    let layer = layer_of(&[
        ("door", EntryType::Symlink, 0o777, "room", b""),
        ("door/file", EntryType::Regular, 0o644, "", b"x"),
    ]);

    assert_eq!(unpacked(&layer), Err(Refused::Through("door/file".into())));
}

#[test]
fn links_in_a_circle_lead_nowhere() {
    let layer = layer_of(&[
        ("one", EntryType::Symlink, 0o777, "two", b""),
        ("two", EntryType::Symlink, 0o777, "one", b""),
    ]);

    assert_eq!(unpacked(&layer).unwrap().find("one"), None);
}

#[test]
fn special_files_and_files_that_lend_rights_are_refused() {
    for kind in [EntryType::Block, EntryType::Char, EntryType::Fifo] {
        let layer = layer_of(&[("dev/x", kind, 0o644, "", b"")]);
        assert_eq!(unpacked(&layer), Err(Refused::Special("dev/x".into())));
    }
    for mode in [0o4755, 0o2755] {
        let layer = layer_of(&[("su", EntryType::Regular, mode, "", b"x")]);
        assert_eq!(unpacked(&layer), Err(Refused::SetUid("su".into())));
    }
}

#[test]
fn bombs_of_count_size_and_compression_are_refused() {
    let limits = Limits { entries: 3, bytes: 10, ratio: 100, layers: 1 };
    let names = ["a", "b", "c", "d"];
    let many: Vec<_> =
        names.iter().map(|name| (*name, EntryType::Directory, 0o755, "", &b""[..])).collect();
    let apply = |layer: &[u8], compressed| {
        layer::apply(&mut Tree::default(), layer, compressed, &mut Budget::new(limits))
    };

    assert_eq!(apply(&layer_of(&many), false), Err(Refused::Entries(3)));
    let large = layer_of(&[("a", EntryType::Regular, 0o644, "", &[0; 11])]);
    assert_eq!(apply(&large, false), Err(Refused::Bytes(10)));
    let linked = layer_of(&[
        ("a", EntryType::Regular, 0o644, "", &[0; 6]),
        ("b", EntryType::Link, 0o644, "a", b""),
    ]);
    assert_eq!(apply(&linked, false), Err(Refused::Bytes(10)));
    let start = Start { arguments: vec!["/zeros".to_owned()], ..Start::default() };
    let zeros = Recipe::new("amd64", start).with("zeros", true, vec![0; 8 << 20]).unwrap();
    assert_eq!(open(&zeros.build(), "amd64", Limits::DEFAULT), Err(Refused::Ratio(100)));
}

#[test]
fn a_whiteout_takes_away_what_a_layer_below_brought() {
    let mut tree = Tree::default();
    let mut budget = Budget::new(Limits::DEFAULT);
    let below = layer_of(&[
        ("etc/one", EntryType::Regular, 0o644, "", b"1"),
        ("etc/two", EntryType::Regular, 0o644, "", b"2"),
        ("var/log/three", EntryType::Regular, 0o644, "", b"3"),
    ]);
    let above = layer_of(&[
        ("etc/.wh.one", EntryType::Regular, 0o644, "", b""),
        ("var/.wh..wh..opq", EntryType::Regular, 0o644, "", b""),
    ]);

    layer::apply(&mut tree, &below, false, &mut budget).unwrap();
    layer::apply(&mut tree, &above, false, &mut budget).unwrap();

    let left: Vec<&str> = tree.entries().map(|(path, _)| path).collect();
    assert_eq!(left, ["etc", "etc/two", "var"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(archive in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = open(&archive, "amd64", Limits::DEFAULT);
        let mut budget = Budget::new(Limits::DEFAULT);
        let _ = layer::apply(&mut Tree::default(), &archive, true, &mut budget);
    }

    #[test]
    fn a_flipped_bit_is_never_taken(at in 0_usize..4096, bit in 0_u8..8) {
        let archive = program();
        let whole = open(&archive, "amd64", Limits::DEFAULT).unwrap();
        let mut changed = archive;
        let at = at % changed.len();
        changed[at] ^= 1 << bit;
        // What the archive says beside the blobs and their names may differ, the image not.
        if let Ok(image) = open(&changed, "amd64", Limits::DEFAULT) {
            prop_assert_eq!(image, whole);
        }
    }
}

fn program() -> Vec<u8> {
    Recipe::of_program("amd64", "ta", b"program".to_vec()).unwrap().build()
}

fn unpacked(layer: &[u8]) -> Result<Tree, Refused> {
    let mut tree = Tree::default();
    layer::apply(&mut tree, layer, false, &mut Budget::new(Limits::DEFAULT))?;
    Ok(tree)
}

/// A layer as no careful program would write it.
fn layer_of(entries: &[(&str, EntryType, u32, &str, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (path, kind, mode, target, content) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}
