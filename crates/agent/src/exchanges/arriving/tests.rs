use channel::Suites;
use channel::release::{Role, seal};
use cose::{Algorithm, Key, Signer as _};
use keys::{SigningKey, SystemEntropy};

use super::*;

#[test]
fn a_release_in_pieces_is_whole_with_its_last_one_and_opens_once() {
    let mut scene = Scene::new();
    let release = scene.seal(&scene.owner, EAT, &DATA);
    let mut taken = 0;
    for bytes in release[..release.len() - 7].chunks(PIECE) {
        assert_eq!(scene.until(NAME, taken, bytes), Ok(taken + bytes.len() as u64));
        taken += bytes.len() as u64;
    }

    let ended = scene.whole(NAME, taken, &release[release.len() - 7..]);

    assert_eq!(scene.came, DATA);
    assert_eq!(ended.receipt.eat_digest, EAT);
    assert_eq!(scene.until([8; 32], 0, &release[..PIECE]), Err(Refusal::NoReceiver));
}

#[test]
fn after_a_cut_it_goes_on_where_it_was() {
    let mut scene = Scene::new();
    let release = scene.seal(&scene.owner, EAT, &DATA);
    let (half, end) = (release.len() / 2, release.len());
    assert_eq!(scene.until(NAME, 0, &release[..half]), Ok(half as u64));

    // Nothing is known of what was lost: how much is there, and then from an earlier byte on.
    assert_eq!(scene.until(NAME, 0, b""), Ok(half as u64));
    assert_eq!(scene.until(NAME, end as u64, b"behind a gap"), Ok(half as u64));
    let again = half - 1000;

    scene.whole(NAME, again as u64, &release[again..]);
    assert_eq!(scene.came, DATA, "every byte came once");
}

#[test]
fn a_stranger_neither_begins_a_release_nor_ends_the_owner_s() {
    let mut scene = Scene::new();
    let release = scene.seal(&scene.owner, EAT, &DATA);
    let half = release.len() / 2;
    scene.until(NAME, 0, &release[..half]).unwrap();
    let thief = SigningKey::generate(Algorithm::Esp256).unwrap();
    let foreign = scene.seal(&thief, EAT, &DATA);
    let other_exchange = scene.seal(&scene.owner, [1; 32], &DATA);

    for (bytes, refusal) in [
        (&foreign[..], Refusal::NotOwner),
        (&other_exchange[..], Refusal::NotOwner),
        (&[0; 4096][..], Refusal::Malformed),
        (&release[..100], Refusal::Malformed),
        (&release[..half], Refusal::Replay),
    ] {
        assert_eq!(scene.until([8; 32], 0, bytes), Err(refusal));
    }
    assert_eq!(scene.until([8; 32], 5, b"not from its beginning"), Ok(0));

    scene.whole(NAME, half as u64, &release[half..]);
    assert_eq!(scene.came, DATA);
}

#[test]
fn a_changed_byte_and_too_much_data_are_refused_and_the_release_begins_anew() {
    let mut scene = Scene::new();
    let release = scene.seal(&scene.owner, EAT, &DATA);
    let mut changed = release.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;

    assert_eq!(scene.until(NAME, 0, &changed), Err(Refusal::NotOpened));
    assert_eq!(scene.until(NAME, 0, b""), Ok(0), "nothing of it is kept");
    scene.limit = DATA.len() - 1;
    assert_eq!(scene.until(NAME, 0, &release), Err(Refusal::TooLarge));
    scene.limit = DATA.len();
    scene.came.clear();
    scene.whole(NAME, 0, &release);
    assert_eq!(scene.came, DATA);
}

struct Scene {
    exchanges: Exchanges,
    receiver: Key,
    owner: SigningKey,
    limit: usize,
    /// What was handed on.
    came: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let mut exchanges = Exchanges::new(Role::Ta);
        let receiver = exchanges.new_receiver(&Suites::default()).remove(0);
        exchanges.bind(receiver.thumbprint(), EAT).unwrap();
        let owner = SigningKey::generate(Algorithm::Esp256).unwrap();
        Self { exchanges, receiver, owner, limit: DATA.len(), came: Vec::new() }
    }

    fn seal(&self, owner: &SigningKey, eat_digest: [u8; 32], data: &[u8]) -> Vec<u8> {
        let owner_id = owner.key().thumbprint();
        let (manifest_digest, role) = (DIGEST, Role::Ta);
        let binding = Binding { owner: owner_id, manifest_digest, eat_digest, role };
        seal(owner, &self.receiver, &binding, "edge-7", &[], data, &mut SystemEntropy).unwrap().0
    }

    fn take(&mut self, stream: [u8; 32], offset: u64, bytes: &[u8]) -> Result<Reached, Refusal> {
        let piece = Piece { stream, offset, bytes: bytes.to_vec() };
        let owner = self.owner.key().thumbprint();
        let taken = self.exchanges.take(&piece, owner, DIGEST, self.limit)?;
        taken.chunks.iter().for_each(|chunk| self.came.extend_from_slice(chunk.expose()));
        Ok(taken.reached)
    }

    fn until(&mut self, stream: [u8; 32], offset: u64, bytes: &[u8]) -> Result<u64, Refusal> {
        self.take(stream, offset, bytes).map(|reached| match reached {
            Reached::Until(taken) => taken,
            Reached::End(_) => panic!("it is not the last piece"),
        })
    }

    fn whole(&mut self, stream: [u8; 32], offset: u64, bytes: &[u8]) -> Whole {
        match self.take(stream, offset, bytes).unwrap() {
            Reached::End(ended) => *ended,
            Reached::Until(taken) => panic!("only {taken} bytes are there"),
        }
    }
}

const NAME: [u8; 32] = [9; 32];
const EAT: [u8; 32] = [7; 32];
const DIGEST: [u8; 32] = [2; 32];
static DATA: [u8; 200_000] = [5; 200_000];
const PIECE: usize = 10_000;
