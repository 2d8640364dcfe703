//! Packed bodies.

use crate::expo::wire::{SnappyError, Unpacker};

fn packed(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

#[test]
fn one_body_after_another_in_the_same_room() {
    let mut unpacker = Unpacker::new();
    let bodies = [
        vec![7; 100_000],
        b"short".to_vec(),
        Vec::new(),
        vec![1; 99_999],
    ];
    for body in &bodies {
        assert_eq!(unpacker.unpack(&packed(body), 100_000).unwrap(), body);
    }
    assert_eq!(format!("{unpacker:?}"), "Unpacker { room: 100000, .. }");
    unpacker.shrink_to(1_000);
    assert_eq!(format!("{unpacker:?}"), "Unpacker { room: 1000, .. }");
    assert_eq!(
        unpacker.unpack(&packed(&bodies[0]), 100_000).unwrap(),
        bodies[0]
    );
}

#[test]
fn the_limit_includes_itself() {
    let mut unpacker = Unpacker::new();
    let body = packed(&[0; 100]);
    assert_eq!(unpacker.unpack(&body, 100).unwrap().len(), 100);
    let error = unpacker.unpack(&body, 99).unwrap_err();
    assert_eq!(
        error,
        SnappyError::TooLarge {
            length: 100,
            limit: 99
        }
    );
}

/// Before there is room for it.
#[test]
fn what_a_body_declares_is_judged_first() {
    let mut unpacker = Unpacker::new();
    // Four gigabytes less one in five bytes.
    let lie = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    let error = unpacker.unpack(&lie, 32 << 20).unwrap_err();
    assert!(
        matches!(
            error,
            SnappyError::TooLarge {
                length: 0xFFFF_FFFF,
                ..
            }
        ),
        "{error}"
    );
    let error = unpacker.unpack(&lie, usize::MAX).unwrap_err();
    assert_eq!(
        error.to_string(),
        "5 bytes cannot hold the 4294967295 that they declare"
    );
    assert_eq!(format!("{unpacker:?}"), "Unpacker { room: 0, .. }");
}

/// The bound on the ratio must not refuse what snappy really reaches.
#[test]
fn the_best_packed_body_is_taken() {
    let mut unpacker = Unpacker::new();
    for length in [1, 21, 22, 23, 64, 1_000, 65_536, 10_000_000] {
        let body = vec![b'a'; length];
        assert_eq!(
            unpacker.unpack(&packed(&body), length).unwrap().len(),
            length
        );
    }
}

#[test]
fn what_is_no_block_is_refused() {
    let mut unpacker = Unpacker::new();
    let cases: [(&[u8], &str); 4] = [
        (
            b"",
            "expected a body packed with snappy, found an empty one",
        ),
        (
            b"\xFF\x06\x00\x00sNaPpY rest",
            "expected snappy's block format, found its framed one: pack the body as one block",
        ),
        (
            b"\xFF\xFF\xFF\xFF\xFF\xFF",
            "expected a body packed with snappy: ",
        ),
        (b"\x05\x10ab", "expected a body packed with snappy: "),
    ];
    for (body, want) in cases {
        let error = unpacker.unpack(body, 1_000).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }
    let body = packed(b"abcdefghijklmnopqrstuvwxyz");
    for cut in 1..body.len() {
        assert!(unpacker.unpack(&body[..cut], 1_000).is_err());
    }
}
