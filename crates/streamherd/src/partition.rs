//! Which partition a data stream belongs to.

/// The partition of a data stream: the CRC-32 of its name (ISO-HDLC, as in zlib, gzip and PNG) modulo the number of
/// partitions. The same in every version of streamherd, so that other programs may add to a partition's stream
/// themselves.
///
/// In Python `zlib.crc32(name.encode()) % partitions`, in Go `crc32.ChecksumIEEE([]byte(name)) % partitions`.
///
/// ```
/// assert_eq!(streamherd::partition_of("123456789", 1_000), 262);
/// assert_eq!(streamherd::partition_of("user-1", 6), 2);
/// assert_eq!(streamherd::partition_of("anything", 1), 0);
/// ```
///
/// Zero partitions count as one.
#[must_use]
pub fn partition_of(stream: &str, partitions: u16) -> u16 {
    let hash = crc32fast::hash(stream.as_bytes());
    u16::try_from(hash % u32::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of other implementations; they must never change.
    #[test]
    fn the_vectors_hold() {
        for (name, hash) in [
            ("", 0),
            ("a", 0xE8B7_BE43_u32),
            ("123456789", 0xCBF4_3926),
            ("The quick brown fox jumps over the lazy dog", 0x414F_A339),
        ] {
            for partitions in [1, 2, 3, 6, 7, 64, 256] {
                assert_eq!(
                    u32::from(partition_of(name, partitions)),
                    hash % u32::from(partitions),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn numbered_names_spread_evenly() {
        for partitions in [2_u16, 3, 6, 8, 16, 60, 64] {
            let mut counts = vec![0_u32; usize::from(partitions)];
            for n in 0..60_000 {
                counts[usize::from(partition_of(&format!("user-{n}"), partitions))] += 1;
            }
            let even = 60_000 / u32::from(partitions);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(
                *least > even * 8 / 10 && *most < even * 12 / 10,
                "{partitions}: {least} to {most} of {even}"
            );
        }
    }
}
