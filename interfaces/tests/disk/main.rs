//! The M/OC's store on a disk that loses whatever nobody synced.
//!
//! Where there is no `/dev/fuse`, or it may not be mounted, each test is skipped by name.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]
#![expect(clippy::print_stdout, reason = "says which test is skipped")]

mod disk;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use moc::store::{BlobDigest, Change, NewDecision, Store};

use disk::{Cut, Disk};

/// What a client may rely on from here on.
#[derive(Clone)]
enum Told {
    Tenant(String),
    Blob(BlobDigest, Vec<u8>),
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_acknowledged_outlives_a_power_cut_at_any_point() {
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let counted = told.clone();
    let Some(disk) = Disk::mount("power cuts", move || counted.lock().unwrap().len()) else {
        return;
    };

    write(disk.root(), &told).await;
    disk.wait_until_idle();

    let told = told.lock().unwrap().clone();
    let cuts = disk.cuts();
    assert!(cuts.iter().any(|cut| cut.acknowledged == 0) && told.len() == WRITES);
    for (number, cut) in cuts.iter().enumerate() {
        recover(number, cut, &told[..cut.acknowledged]).await;
    }
}

/// One after the other, then many at once.
async fn write(dir: &Path, told: &Arc<Mutex<Vec<Told>>>) {
    let store = Store::open(dir).await.unwrap();
    for number in 0..8 {
        put(&store, number, told).await;
    }
    let writes = (8..WRITES).map(|number| {
        let (store, told) = (store.clone(), told.clone());
        tokio::spawn(async move { put(&store, number, &told).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
}

async fn put(store: &Store, number: usize, told: &Mutex<Vec<Told>>) {
    let done = if number % 4 == 3 {
        let bytes = format!("payload {number}").into_bytes();
        Told::Blob(store.blobs().put(&bytes).await.unwrap(), bytes)
    } else {
        let name = format!("tenant-{number:02}");
        let decision = NewDecision {
            tenant: name.clone(),
            at_ms: 1,
            subject: format!("tenant/{name}"),
            decision: "added".into(),
            reason: "a test".into(),
        };
        let tenant = Change::AddTenant { tenant: name.clone(), name: name.clone(), at_ms: 1 };
        store.commit(vec![tenant, Change::AddDecision(decision)]).await.unwrap();
        Told::Tenant(name)
    };
    told.lock().unwrap().push(done);
}

/// The store opens over what is left, and has all that was acknowledged; what it has beyond is
/// whole.
async fn recover(number: usize, cut: &Cut, told: &[Told]) {
    let dir = tempfile::tempdir().unwrap();
    cut.write(dir.path());
    let store = Store::open(dir.path()).await.unwrap();
    let tenants = store.tenants("", 1000).await.unwrap();
    let tenants: BTreeSet<String> = tenants.into_iter().map(|tenant| tenant.tenant).collect();
    let log = store.decisions().await.unwrap();
    let logged: BTreeSet<String> = log.into_iter().map(|leaf| leaf.entry.tenant).collect();

    assert_eq!(tenants, logged, "cut {number}: rows and log are one transaction");
    for told in told {
        match told {
            Told::Tenant(name) => assert!(tenants.contains(name), "cut {number} lost {name}"),
            Told::Blob(digest, bytes) => {
                let found = store.blobs().get(*digest).await.unwrap();
                assert_eq!(found.as_ref(), Some(bytes), "cut {number} lost a blob");
            }
        }
    }
}

#[test]
fn the_disk_loses_what_nobody_synced() {
    let Some(disk) = Disk::mount("the disk itself", || 0) else { return };
    let path = |name: &str| disk.root().join(name);
    let file = |name: &str, synced: bool| {
        let mut file = File::create(path(name)).unwrap();
        file.write_all(b"first").unwrap();
        if synced {
            file.sync_all().unwrap();
        }
        file
    };
    let mut both = file("both", true);
    file("name alone", false);
    File::open(disk.root()).unwrap().sync_all().unwrap();
    file("bytes alone", true);
    both.write_all(b" second").unwrap();
    fs::rename(path("both"), path("renamed")).unwrap();
    drop(both);
    disk.wait_until_idle();

    let cuts = disk.cuts();
    let left = tempfile::tempdir().unwrap();
    // The last but two is the one with nothing of what was not synced.
    cuts[cuts.len() - 3].write(left.path());

    let names = fs::read_dir(left.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["both".to_owned(), "name alone".to_owned()]));
    assert_eq!(fs::read(left.path().join("both")).unwrap(), b"first");
    assert_eq!(fs::read(left.path().join("name alone")).unwrap(), b"");
}

const WRITES: usize = 40;
