//! Tests of the mapping contract.

use super::*;

fn shared(capacity: usize) -> (Arc<Frontier>, Arc<SharedBytes>) {
    let frontier = Frontier::new();
    let bytes = SharedBytes::new(vec![0; capacity].into(), &frontier);
    (frontier, bytes)
}

#[test]
fn a_write_below_the_map_shows_through_it() {
    let (frontier, bytes) = shared(64);
    let map = Mapping::of_shared(&bytes, 64, 64).expect("covered");
    bytes.write(&frontier.change(8).expect("quiet"), b"event", 8);
    assert_eq!(map.bytes(8..13), Some(&b"event"[..]));
    assert_eq!(map.bytes(0..3), Some(&[0u8; 3][..]));
}

#[test]
fn bytes_that_were_sliced_can_not_be_written_again() {
    let (frontier, bytes) = shared(64);
    let map = Mapping::of_shared(&bytes, 64, 64).expect("covered");
    assert!(map.bytes(0..10).is_some());
    assert_eq!(frontier.change(9).expect_err("sliced").kind(), ErrorKind::InvalidInput);
    assert!(frontier.change(10).is_ok());
}

#[test]
fn without_a_map_there_is_no_frontier() {
    let (frontier, bytes) = shared(64);
    let map = Mapping::of_shared(&bytes, 64, 64).expect("covered");
    assert!(map.bytes(0..10).is_some());
    drop(map);
    assert!(frontier.change(0).is_ok());
}

#[test]
fn bytes_that_are_being_written_are_not_sliced() {
    let (frontier, bytes) = shared(64);
    let map = Mapping::of_shared(&bytes, 64, 64).expect("covered");
    let change = frontier.change(16).expect("quiet");
    assert_eq!(map.bytes(0..17), None);
    assert!(map.bytes(0..16).is_some());
    drop(change);
    assert!(map.bytes(0..17).is_some());
}

#[test]
fn a_refused_change_leaves_thebytes_open_to_readers() {
    let (frontier, bytes) = shared(64);
    let map = Mapping::of_shared(&bytes, 64, 64).expect("covered");
    assert!(map.bytes(0..32).is_some());
    assert!(frontier.change(0).is_err());
    assert!(map.bytes(0..32).is_some());
}

#[test]
fn a_slice_never_reaches_past_the_map_or_the_file() {
    let (frontier, bytes) = shared(64);
    let map = Mapping::of_shared(&bytes, 48, 64).expect("covered");
    assert_eq!(map.bytes(40..49), None);
    assert_eq!(map.bytes(u64::MAX - 1..u64::MAX), None);
    #[expect(clippy::reversed_empty_ranges, reason = "what is tested")]
    let reversed = 9..8;
    assert_eq!(map.bytes(reversed), None);
    frontier.change(32).expect("quiet").cut(32);
    assert_eq!(map.bytes(31..33), None);
    frontier.change(32).expect("quiet").grown(40);
    assert!(map.bytes(31..40).is_some());
    assert_eq!(map.bytes(31..41), None);
    assert!(Mapping::of_shared(&bytes, 65, 65).is_err());
    assert!(Mapping::of_shared(&bytes, 60, 59).is_err());
}

#[test]
fn a_write_needs_the_leave_of_its_own_frontier() {
    let (frontier, bytes) = shared(8);
    let (other, _) = shared(8);
    bytes.write(&other.change(0).expect("quiet"), b"x", 0);
    bytes.write(&frontier.change(4).expect("quiet"), b"x", 3);
    bytes.write(&frontier.change(6).expect("quiet"), b"long", 6);
    let mut found = [0; 16];
    assert_eq!(bytes.read(&mut found, 0), 8);
    assert_eq!(&found[..8], b"\0\0\0\0\0\0lo");
    assert_eq!(bytes.read(&mut found, 9), 0);
}

#[test]
fn readers_and_a_writer_never_see_each_others_bytes() {
    const STEP: usize = 32;
    const END: usize = 8_192;
    let (frontier, bytes) = shared(END);
    let map = Mapping::of_shared(&bytes, END as u64, END as u64).expect("covered");
    let published = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < END as u64 {
                    seen = published.load(SeqCst);
                    let slice = map.bytes(0..seen).expect("published bytes are at rest");
                    assert!(slice.iter().all(|&byte| byte == 7));
                }
            });
        }
        for at in (0..END).step_by(STEP) {
            let change = frontier.change(at as u64).expect("nobody slices above what is published");
            bytes.write(&change, &[7; STEP], at as u64);
            drop(change);
            published.store((at + STEP) as u64, SeqCst);
        }
    });
}
